"""check_layers.py on good and on bad input."""

import pathlib
import tempfile
import unittest

import check_layers

TABLE = """
| | module | one line | may include |
|---|---|---|---|
| L | `base` | ids | nothing of ours |
| L | `http` | heads | base |
| E | `net` | loops | base |
| F | `upstream` | pool | net |
| F | `proxy` | sessions | upstream |
| R | `app` | wiring | all |
"""


class CheckLayers(unittest.TestCase):
    def faults(self, table=TABLE, **files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name.replace("__", "/").replace("_cpp", ".cpp").replace("_hpp", ".hpp")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return check_layers.check(root, table)

    def test_includes_within_the_table_pass(self):
        self.assertEqual([], self.faults(
            src__http__head_cpp='#include "nestgate/base/result.hpp"\n#include "http/scan.hpp"\n#include <string>\n',
            src__proxy__session_cpp='#include "nestgate/upstream/pool.hpp"\n#include "nestgate/http/head.hpp"\n',
            src__main_cpp='#include "nestgate/app/run.hpp"\n'))

    def test_what_an_allowed_module_may_include_is_allowed_too(self):
        self.assertEqual([], self.faults(src__proxy__session_cpp='#include "nestgate/net/task.hpp"\n'))

    def test_an_arrow_that_goes_up_is_a_fault_with_file_and_line(self):
        faults = self.faults(include__nestgate__net__core_hpp='#include <string>\n#include "nestgate/proxy/session.hpp"\n')
        self.assertEqual(1, len(faults))
        self.assertIn("include/nestgate/net/core.hpp:2: `net` (edge) may not include `proxy`", faults[0])

    def test_a_leaf_may_not_include_asio(self):
        faults = self.faults(src__http__head_cpp="#include <boost/asio/ip/tcp.hpp>\n")
        self.assertIn("`http` is a leaf", faults[0])

    def test_a_leaf_may_not_include_another_leaf_that_its_row_does_not_name(self):
        self.assertEqual(1, len(self.faults(src__base__id_cpp='#include "nestgate/http/head.hpp"\n')))

    def test_a_private_header_of_another_module_is_a_fault(self):
        self.assertIn("private to `upstream`", self.faults(src__proxy__session_cpp='#include "upstream/pool_impl.hpp"\n')[0])

    def test_a_relative_path_cannot_get_round_the_table(self):
        self.assertIn("no relative path", self.faults(src__net__core_cpp='#include "../proxy/session.hpp"\n')[0])

    def test_a_folder_without_a_row_is_a_fault(self):
        self.assertIn("`cache` has no row", self.faults(src__cache__lru_cpp="")[0])

    def test_a_row_that_points_up_is_a_fault(self):
        faults = self.faults(table="| L | `base` | x | http |\n| L | `http` | x | base |\n")
        self.assertIn("no row above it", faults[0])

    def test_a_document_without_a_table_is_a_fault(self):
        self.assertIn("no module table", self.faults(table="# Architecture\n")[0])


if __name__ == "__main__":
    unittest.main()
