"""known_faults.py on good and on bad input."""

import pathlib
import tempfile
import unittest

import known_faults

TESTS = {"Suite.Holds", "Other.HoldsToo"}
WHOLE = "".join(f"| {section} | what | `Suite.Holds` |\n" for section in sorted(known_faults.WANTED))


class KnownFaults(unittest.TestCase):
    def test_a_table_whose_tests_are_there_passes(self):
        self.assertEqual([], known_faults.check("| section | fault | tests |\n|---|---|---|\n" + WHOLE, TESTS))

    def test_each_of_several_tests_has_to_be_there(self):
        row = "| 10.1 | what | `Suite.Holds`, `Other.Gone`, `Other.HoldsToo` |\n"
        self.assertEqual(["tests/README.md:1: there is no test Other.Gone"], known_faults.check(row + WHOLE, TESTS))

    def test_a_row_without_a_test_is_a_fault(self):
        self.assertEqual(["tests/README.md:1: 1.5 has no test"], known_faults.check("| 1.5 | what | later |\n" + WHOLE, TESTS))

    def test_each_entry_of_the_list_has_a_row(self):
        lacking = WHOLE.replace("| 10.7 |", "| 11.7 |")
        self.assertEqual(["tests/README.md: 10.7 has no row"], known_faults.check(lacking, TESTS))

    def test_tests_are_found_by_their_macros(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "deep").mkdir()
            (root / "deep" / "a_test.cpp").write_text("TEST(A, One) {\n}\nTEST_F(B, Two) {\n}\nTEST_P(C, Three) {\n// TEST(D, Four)\n")
            self.assertEqual({"A.One", "B.Two", "C.Three"}, known_faults.tests_below(root))


if __name__ == "__main__":
    unittest.main()
