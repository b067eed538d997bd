"""Which events an automation waits for: patterns and filters, by a source of one's own."""

from harness import equal, holds

SECTION = "8.3"


class Source:
    """A webhook whose events say their key in `type`."""

    def __init__(self, at):
        self.at = at
        self.secret = "a-secret-of-its-own"
        self.row = at.webhook(webhook_secret=self.secret)

    def send(self, payload):
        return self.at.event(self.row["source"], payload, secret=self.secret, header="X-Signature-256").must_be(200).json

    def automation(self, on, filter_=None):
        trigger = {"type": "event", "source": self.row["source"], "on": on, **({"filter": filter_} if filter_ else {})}
        return self.at.automation(trigger=trigger, tarball_path="s3://bucket/nothing.tar.gz")


def matches(at, on, payload, filter_=None):
    source = Source(at)
    automation = source.automation(on, filter_)
    answer = source.send(payload)
    runs = [r["id"] for r in at.runs_of(automation["id"])]
    equal((answer["matched"], answer["runs_created"]), (len(runs), runs), "the answer beside the runs that there are")
    return bool(runs)


PATTERNS = [("order.created", "order.created", True), ("order.created", "order.deleted", False), ("order.*", "order.created", True),
            ("order.*", "order.item.added", True),
            ("*", "anything at all", True), ("order.?", "order.x", True), ("order.?", "order.xy", False), ("[ab].x", "b.x", True),
            ("[ab].x", "c.x", False), ("[!ab].x", "c.x", True),
            ("[!ab].x", "a.x", False), ("[a-c]x", "bx", True), ("Order.*", "order.created", False), ("order", "order.created", False),
            ("*.created", "order.created", True),
            ("order.created", "order.created ", False), ("[", "[", True), ("a[b", "a[b", True), ("", "", True), ("a*b*c", "aXbYc", True),
            ("**", "x", True), ("\\*", "\\x", True)]


@holds(of=[(repr(pattern), "and", repr(key), pattern, key, wanted) for pattern, key, wanted in PATTERNS])
def a_pattern_and_a_key(at, _, __, ___, pattern, key, wanted):
    equal(matches(at, pattern, {"type": key}), wanted, f"whether {pattern!r} matches {key!r}")


@holds(of=[("one of several", ["a", "b.*"], "b.x", True), ("none of several", ["a", "b.*"], "c", False), ("an empty list", [], "a", False)])
def patterns_in_a_list(at, _, on, key, wanted):
    equal(matches(at, on, {"type": key}), wanted, f"whether {on} matches {key!r}")


FILTERS = [
    ("text == 'Hello World'", True), ("text == 'x'", False), ("n == `5`", True), ("n > `4` && n < `6`", True), ("n >= `6` || flag", True),
    ("!flag", False), ("flag", True),
    ("deep.list[0].x", True), ("deep.list[?x=='b'].y | [0]", True), ("deep.list[?x=='zz']", False), ("absent", False),
    ("absent == null", True), ("length(deep.list) == `2`", True),
    ("contains(text, 'World')", True), ("contains(tags, 'red')", True), ("starts_with(text, 'Hello')", True),
    ("ends_with(text, 'World')", True), ("ends_with(text, 'x')", False),
    ("sort(tags)[0] == 'blue'", True), ("keys(deep)", True), ("type(n) == 'number'", True), ("to_string(n) == '5'", True),
    ("to_number('7') == `7`", True),
    ("join('-', tags) == 'red-blue'", True), ("max_by(deep.list, &y).x == 'b'", True), ("not_null(absent, text) == 'Hello World'", True),
    ("map(&x, deep.list)[1] == 'b'", True),
    ("sum(deep.list[*].y) == `3`", True), ("abs(`-1`) == `1`", True), ("floor(`1.9`) == `1`", True), ("ceil(`1.1`) == `2`", True),
    ("avg(deep.list[*].y) == `1.5`", True),
    ("reverse(tags)[0] == 'blue'", True), ("merge(`{\"a\": 1}`, `{\"b\": 2}`).b == `2`", True), ("values(`{\"a\": 1}`)[0] == `1`", True),
    ("to_array(n)[0] == `5`", True),
    ("min(deep.list[*].y) == `1`", True), ("max(deep.list[*].y) == `2`", True), ("min_by(deep.list, &y).x == 'a'", True),
    ("sort_by(deep.list, &y)[0].x == 'a'", True),
    ("deep.list[*].y | [1] == `2`", True), ("deep.list[-1].x == 'b'", True), ("tags[0:1] == ['red']", True),
    ("deep.list[].x | length(@) == `2`", True), ("{a: n}.a == `5`", True),
]
ADDED = [
    ("glob(text, 'Hello*')", True), ("glob(text, 'hello*')", False), ("glob(text, '*[Ww]orld')", True), ("glob(text, 'Hello')", False),
    ("icontains(text, 'WORLD')", True), ("icontains(text, 'mars')", False), ("regex(text, '^Hello\\s')", True),
    ("regex(text, 'World$')", True), ("regex(text, '^World')", False),
    ("regex(text, '(?i)hello')", True), ("regex(text, 'l{2}o')", True), ("regex(text, '[')", False), ("lower(text) == 'hello world'", True),
    ("upper(text) == 'HELLO WORLD'", True),
    ("lower('ÄÖ') == 'äö'", True), ("glob(absent, '*')", False), ("icontains(absent, 'x')", False), ("regex(n, '5')", False),
    ("lower(n)", False), ("upper(absent)", False),
    ("starts_with(absent, 'x')", False), ("no_such_function(text)", False), ("!glob(absent, '*')", False),
    ("flag || glob(absent, '*')", True),
]
TRUTH = [("zero", False), ("`0`", False), ("`0` || `false`", False), ("''", False), ("`[]`", False), ("`{}`", False), ("`null`", False),
         ("`false`", False), ("`1`", True), ("'x'", True),
         ("`[0]`", True), ("zero && flag", True), ("flag && zero", False)]
PAYLOAD = {"type": "k", "text": "Hello World", "n": 5, "zero": 0, "flag": True, "tags": ["red", "blue"],
           "deep": {"list": [{"x": "a", "y": 1}, {"x": "b", "y": 2}]}}


@holds(of=FILTERS)
def a_filter_of_jmespath(at, text, wanted):
    equal(matches(at, "k", PAYLOAD, text), wanted, f"whether {text} lets the event through")


@holds(of=ADDED)
def a_filter_with_an_added_function(at, text, wanted):
    equal(matches(at, "k", PAYLOAD, text), wanted, f"whether {text} lets the event through")


@holds(of=TRUTH)
def the_truth_of(at, text, wanted):
    equal(matches(at, "k", PAYLOAD, text), wanted, f"whether {text} lets the event through")


@holds()
def a_filter_sees_the_raw_payload_of_a_built_in_source(at):
    import events
    automation = at.automation(trigger={"type": "event", "source": "github", "on": "pull_request.*",
                                        "filter": "pull_request.body == 'long text' && installation.id == `9`"},
                               tarball_path="s3://bucket/nothing.tar.gz")
    events.delivered(at, events.GITHUB["pull_request.opened"])
    equal(len(at.runs_of(automation["id"])), 1, "runs")


@holds()
def who_does_not_match_does_not_keep_others_from_matching(at):
    source = Source(at)
    made = [source.automation("k", text) for text in ("glob(absent, '*')", None, "no_such_function(@)", "flag")]
    equal(source.send(PAYLOAD)["matched"], 2, "matched")
    equal([len(at.runs_of(a["id"])) for a in made], [0, 1, 0, 1], "runs of each")


@holds()
def a_source_is_not_another_source(at):
    one, other = Source(at), Source(at)
    automation = other.automation("k")
    one.send(PAYLOAD)
    equal(at.runs_of(automation["id"]), [], "runs")
