"""Two gateways on one store."""

from parts import SETTLED_S, Gateway, at_once, servers_below, wait_for

TAKEN_OVER_S = 15


def check_store_agrees(report, what, gateways, wanted):
    agreed = wait_for(lambda: all(gateway.states() == wanted for gateway in gateways), SETTLED_S)
    report.line(what, bool(agreed), "" if agreed else [gateway.states() for gateway in gateways])


def run(report, bins, folder, smoke):
    report.section("two gateways on one store (process)")
    home = folder / "gateway"
    gateways = [Gateway(bins, home, "[runtime]\nprovider = \"process\"\n[runtime.process]\nstop_grace = \"2s\"\n"
                                    f"workspace_dir = \"runtimes-{name}\"\n[store]\nlease = \"5s\"\n", name) for name in "ab"]
    a, b = gateways
    ids = [f"t{i}" for i in range(6 if smoke else 20)]
    up = lambda: sorted(one for name in "ab" for one in servers_below(home / f"runtimes-{name}"))
    try:
        for gateway in gateways:
            gateway.start()
        answers = at_once(lambda wish: wish[0].create(wish[1]), [(gateway, one) for one in ids for gateway in gateways])
        refused = [answer for answer in answers if answer[0] not in (200, 201)]
        report.line(f"racing starts of {len(ids)} ids at both: all are answered", not refused, refused[:2] or "")
        keys_agree = all(answers[2 * i][1].get("session_api_key") == answers[2 * i + 1][1].get("session_api_key") for i in range(len(ids)))
        report.line("both are told the same key", keys_agree)
        report.line(f"there are {len(ids)} runtimes", up() == sorted(ids), len(up()))
        check_store_agrees(report, "both show all as running", gateways, {one: "RUNNING" for one in ids})
        opened = at_once(lambda wish: wish[0].opens(wish[1], wish[0].key_of(wish[1])), [(gateway, one) for one in ids for gateway in gateways])
        report.line("each is reached through both", all(opened), f"{sum(opened)} of {len(opened)}")
        in_a = sorted(servers_below(home / "runtimes-a"))
        in_b = sorted(servers_below(home / "runtimes-b"))
        report.figure("runtimes by gateway", f"{len(in_a)} and {len(in_b)}")
        if in_a:
            status, answer = b.client.call("POST", f"/api/conversations/{in_a[0]}/stop")
            report.line("one is stopped at the other gateway", status == 200 and answer["status"] == "STOPPED" and in_a[0] not in up(),
                        f"{status} {answer if status != 200 else answer['status']}")
        a.kill()
        wanted = {one: "RUNNING" if one in in_b else "STOPPED" for one in ids}
        taken = wait_for(lambda: b.states() == wanted, TAKEN_OVER_S)
        report.line("one gateway killed: the other shows its conversations as stopped", bool(taken), "" if taken else b.states())
        answers = at_once(b.create, ids)
        report.line("and starts them again", all(status in (200, 201) for status, _ in answers),
                    [answer for answer in answers if answer[0] not in (200, 201)][:2] or "")
        report.line(f"there are {len(ids)} runtimes", up() == sorted(ids), len(up()))
        a.start()
        check_store_agrees(report, "started again it shows what the other has", gateways, {one: "RUNNING" for one in ids})
        racing = at_once(lambda gateway: gateway.client.status("DELETE", f"/api/conversations/{ids[0]}"), gateways)
        report.line("both remove the same one", set(racing) <= {204, 404, 409} and 204 in racing, racing)
        gone = wait_for(lambda: all(ids[0] not in gateway.states() for gateway in gateways) and ids[0] not in up(), SETTLED_S)
        report.line("and it is gone from both", bool(gone), "" if gone else [gateway.states() for gateway in gateways])
    finally:
        for gateway in gateways:
            gateway.stop()
    report.line("after their end nothing runs", not up(), up() or "")
