"""tidy.py on good and on bad input."""

import unittest

import tidy


class Tidy(unittest.TestCase):
    def rules(self, text, name="src/proxy/session.cpp"):
        return [fault.split(": ")[1] for fault in tidy.check_text(name, text)]

    def test_each_banned_word_is_found(self):
        for text, rule in [
            ("asio::any_io_executor ex;\n", "executor"),
            ("asio::co_spawn(ex, f(), asio::detached);\n", "detached"),
            ("std::thread(f).detach();\n", "detached"),
            ("using namespace asio::experimental::awaitable_operators;\n", "awaitable-operators"),
            ("std::this_thread::sleep_for(1s);\n", "sleep"),
            ("auto f = [this](int n) -> Task<> { co_return; };\n", "lambda-coroutine"),
            ("auto f = [&]() mutable -> nestgate::Task<Result<int>> { co_return 1; };\n", "lambda-coroutine"),
            ("int x;  // TODO: later\n", "later"),
            ("// ------------------------------\n", "banner"),
            ("auto file = \"/work/x\";\n", "path"),
        ]:
            with self.subTest(text):
                self.assertEqual([rule], self.rules(text))

    def test_comments_and_strings_may_name_what_code_may_not_use(self):
        self.assertEqual([], self.rules('// never asio::detached\nlog("sleep_for");\n/* any_io_executor */\nchar c = \'"\';\n'))

    def test_a_digit_separator_does_not_open_a_string(self):
        self.assertEqual(["sleep"], self.rules("int n = 20'000; sleep_for(n); int m = 1'000;\n"))

    def test_a_lambda_coroutine_without_captures_passes(self):
        self.assertEqual([], self.rules("auto f = [](int n) -> Task<> { co_return; };\nauto g = [&x] { return x[1]; };\n"))

    def test_a_secret_is_opened_only_where_the_list_says(self):
        self.assertEqual(["reveal"], self.rules("log(key.reveal());\n", "src/api/routes.cpp"))
        self.assertEqual([], self.rules("out.append(key.reveal());\n", "src/identity/derive.cpp"))

    def test_the_three_shapes_that_gcc_12_miscompiles_are_found(self):
        for text, rule in [
            ("auto s = b ? co_await f() : std::string(x);\n", "co-await-conditional"),
            ("co_await call(b ? x : y);\n", "co-await-conditional"),
            ("co_await call({name, 3});\n", "co-await-aggregate"),
            ("co_await call(Options{name, 3});\n", "co-await-aggregate"),
            ("co_await\n  spawn(ex, [s](int) { return s; });\n", "co-await-lambda"),
        ]:
            with self.subTest(text):
                self.assertIn(rule, self.rules(text))

    def test_what_gcc_12_gets_right_passes(self):
        self.assertEqual([], self.rules(
            "auto [ec, n] = co_await read(socket, asio::buffer(data), no_throw);\n"
            "if (!(co_await f(ns::g()))) {\n  return a ? b : c;\n}\n"
            "for (;;) {\n  co_await next();\n}\n"
            "co_await write(out, {});\nco_await write(out, [this](int n) { progress(n); });\n"
            "co_await each(door, [this, &door](int n) { serve(n, door); });\n"
            "co_await answer(stream, keep ? Keep::yes : Keep::no);\n"))

    def test_a_reason_on_the_line_or_above_excuses_it_and_nothing_else_does(self):
        self.assertEqual([], self.rules("f(asio::detached);  // tidy-ok(detached): nobody waits for a refusal\n"))
        self.assertEqual([], self.rules("// tidy-ok(detached): nobody waits for a refusal\nf(asio::detached);\n"))
        self.assertEqual(["detached"], self.rules("f(asio::detached);  // tidy-ok(detached):\n"))
        self.assertEqual(["detached"], self.rules("f(asio::detached);  // tidy-ok(sleep): other rule\n"))

    def test_a_fault_names_file_and_line(self):
        self.assertTrue(tidy.check_text("src/a/b.cpp", "int a;\n\nusleep(1);\n")[0].startswith("src/a/b.cpp:3: sleep: "))

    def test_a_file_beyond_the_limit_is_a_fault(self):
        self.assertEqual([], self.rules("\n" * tidy.FILE_LINES_MAX))
        self.assertEqual(["length"], self.rules("\n" * (tidy.FILE_LINES_MAX + 1)))


if __name__ == "__main__":
    unittest.main()
