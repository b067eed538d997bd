"""Compares nestgate with nginx, HAProxy and a bare byte relay, in one run, on the same exchange.

    run.py --bin build/release/bin --raw build/bench [--smoke] [--peers nginx,haproxy,relay]

The main figure is the CPU time of the proxy's process per request, by the kernel's accounting. Rounds are interleaved
(A B C D A B C D …), figures are medians over the rounds. Exit code 0 only if at 64 connections nestgate needs no more CPU
per request than nginx; with --smoke, if everything ran.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import time

import peers

VERDICT_CONNECTIONS = 64
FOREIGN_SHARE_MAX = 0.05  # of one core, by processes that are not ours, before we call the machine noisy
SPREAD_MAX = 0.10         # quartile distance over median


def plan(smoke):
    if smoke:
        return {"connections": [1, 64], "rounds": 1, "seconds": 1, "warm_up": 0, "tunnels": 50, "micro_seconds": "0.01"}
    return {"connections": [1, 64, 512], "rounds": 7, "seconds": 2, "warm_up": 1, "tunnels": 5000, "micro_seconds": "0.2"}


def cores():
    """The proxy has one core of its own where there are two; the load and the origin share the other."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[-1]}, {usable[0]}) if len(usable) > 1 else (set(usable), set(usable))


def process_cpu_seconds(pid):
    """The kernel's sum over all threads, in ns: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)


class MachineWatch:
    """How much of the machine others took while we measured."""

    def __init__(self, pids):
        self.pids = pids
        self.begin = self._now()

    def _now(self):
        fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        busy = sum(fields[:3]) + sum(fields[5:7])
        ticks = os.sysconf("SC_CLK_TCK")
        own = sum(process_cpu_seconds(pid) for pid in self.pids)
        for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF):
            usage = resource.getrusage(who)
            own += usage.ru_utime + usage.ru_stime
        return time.monotonic(), busy / ticks - own, fields[7] / ticks

    def shares(self):
        end = self._now()
        elapsed = end[0] - self.begin[0]
        return {"foreign": max(0.0, (end[1] - self.begin[1]) / elapsed), "steal": (end[2] - self.begin[2]) / elapsed}


class Bench:
    def __init__(self, bins, work, only, steps):
        self.bins, self.work, self.steps = bins, work, steps
        self.proxy_cores, self.load_cores = cores()
        self.key = peers.session_key(peers.CONVERSATION)
        self.origin = peers.Program([bins / "bench_origin", "--key", self.key], self.load_cores, work / "origin.log")
        origin_port = self.origin.listening_port()
        self.peers = []
        for name in only:
            self.peers.append(peers.STARTERS[name](bins, work, origin_port, self.proxy_cores))

    def load(self, peer, path, *flags):
        # Each client sends the key and the forwarded fields itself, so that the relay's origin gets them too. A proxy
        # replaces them.
        command = [self.bins / "bench_load", "--target", f"127.0.0.1:{peer.port}", "--path", path,
                   "--header", f"X-Session-API-Key: {self.key}", "--header", "User-Agent: bench", "--header", "Accept: */*",
                   "--header", "X-Forwarded-For: 192.0.2.1", "--header", "X-Forwarded-Proto: http",
                   "--header", "X-Forwarded-Host: example.org"]
        for pid in peer.pids:
            command += ["--watch", pid]
        command += flags
        watch = MachineWatch([*peer.pids, self.origin.process.pid])
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120,
                              preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
        if done.returncode != 0:
            raise RuntimeError(f"{peer.name}: the load generator failed: {done.stderr.strip()[:500]} {done.stdout.strip()}")
        return {"peer": peer.name, **json.loads(done.stdout), **watch.shares()}

    def requests(self):
        path = f"/api/conversations/{peers.CONVERSATION}/events/search?limit=1"
        results = []
        for connections in self.steps["connections"]:
            for number in range(self.steps["rounds"]):
                for peer in self.peers:
                    row = self.load(peer, path, "--connections", connections, "--seconds", self.steps["seconds"],
                                    "--warm-up-seconds", self.steps["warm_up"])
                    row |= {"connections": connections, "round": number, "cpu_us": row["cpu_ns"] / 1000 / row["requests"],
                            "rate": row["requests"] / row["seconds"]}
                    results.append(row)
                    print(f"{connections:4} connections, round {number + 1}: {peer.name:9} {row['cpu_us']:7.2f} µs CPU "
                          f"{row['rate']:9,.0f} /s", flush=True)
        return results

    def tunnels(self):
        path = f"/sockets/events/{peers.CONVERSATION}"
        results = []
        for peer in self.peers:
            row = self.load(peer, path, "--tunnels", self.steps["tunnels"], "--seconds", 1)
            row["kib_per_tunnel"] = (row["resident_kib_after"] - row["resident_kib_before"]) / row["tunnels"]
            results.append(row)
            print(f"{row['tunnels']} idle tunnels: {peer.name:9} {row['kib_per_tunnel']:6.2f} KiB each", flush=True)
        return results


def micro(bins, seconds):
    rows = []
    for program in sorted(bins.glob("micro_*")):
        done = subprocess.run([program, "--benchmark_format=json", f"--benchmark_min_time={seconds}"], capture_output=True,
                              text=True, timeout=300, check=True)
        rows += [{"name": row["name"], "ns": row["cpu_time"]} for row in json.loads(done.stdout)["benchmarks"]]
    return rows


def summary(results, connections, peer):
    rows = [row for row in results if row["connections"] == connections and row["peer"] == peer]
    costs = sorted(row["cpu_us"] for row in rows)
    median = statistics.median(costs)
    quartiles = statistics.quantiles(costs, n=4) if len(costs) > 1 else [median] * 3
    return {"cpu_us": median, "low": costs[0], "high": costs[-1], "spread": (quartiles[2] - quartiles[0]) / median,
            **{figure: statistics.median(row[figure] for row in rows) for figure in ("rate", "p50_us", "p99_us", "p999_us")}}


def ratio(results, connections, peer, other):
    """The median over the rounds of each round's ratio: neighbours in time saw the same machine."""
    costs = {(row["peer"], row["round"]): row["cpu_us"] for row in results if row["connections"] == connections}
    return statistics.median(cost / costs[other, number] for (name, number), cost in costs.items() if name == peer)


def noise(results, names):
    said = []
    foreign = statistics.median(row["foreign"] for row in results)
    steal = statistics.median(row["steal"] for row in results)
    if foreign > FOREIGN_SHARE_MAX:
        said.append(f"other processes took {foreign:.0%} of a core")
    if steal > FOREIGN_SHARE_MAX:
        said.append(f"the hypervisor took {steal:.0%} of a core")
    for connections in sorted({row["connections"] for row in results}):
        for name in names:
            spread = summary(results, connections, name)["spread"]
            if spread > SPREAD_MAX:
                said.append(f"{name} at {connections} connections varied by {spread:.0%}")
    return said


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def report(raw):
    results, names = raw["requests"], [peer["name"] for peer in raw["peers"]]
    others = [name for name in names if name != "nestgate"]
    text = [f"Measured {raw['date']} on {raw['machine']} by `make bench`: {', '.join(peer['name'] + ' ' + peer['version'] for peer in raw['peers'])}.",
            "One proxy thread each on a core of its own; load generator and origin share the other. Small JSON GET, conversation in "
            "the path, session key and forwarded fields set by the proxy, kept-alive on both sides, "
            f"{'each request logged to a file by all' if raw['access_logs'] else 'no access log on any side'}. The clients "
            "of nestgate are authenticated by it, the others let everybody pass.",
            f"Medians of {raw['rounds']} interleaved rounds of {raw['seconds']} s; in brackets the lowest and highest round.", ""]
    if raw["noise"]:
        text += ["**The machine was noisy**: " + "; ".join(raw["noise"]) + ".", ""]
    text += ["| connections | proxy | CPU µs per request | requests/s | p50 µs | p99 µs | p99.9 µs |" + (" nestgate's CPU to this |" if "nestgate" in names else ""),
             "|---|---|---|---|---|---|---|" + ("---|" if "nestgate" in names else "")]
    for connections in sorted({row["connections"] for row in results}):
        for name in names:
            row = summary(results, connections, name)
            line = (f"| {connections} | {name} | {row['cpu_us']:.2f} ({row['low']:.2f} to {row['high']:.2f}) | {row['rate']:,.0f} | "
                    f"{row['p50_us']:.0f} | {row['p99_us']:.0f} | {row['p999_us']:.0f} |")
            if "nestgate" in names:
                line += f" {ratio(results, connections, 'nestgate', name):.2f} |" if name in others else " 1 |"
            text.append(line)
    text += ["", "| idle websockets | proxy | resident KiB each |", "|---|---|---|"]
    text += [f"| {row['tunnels']} | {row['peer']} | {row['kib_per_tunnel']:.2f} |" for row in raw["tunnels"]]
    if raw["micro"]:
        text += ["", "| leaf | ns |", "|---|---|"]
        text += [f"| {row['name']} | {row['ns']:.1f} |" for row in raw["micro"]]
    return "\n".join(text) + "\n"


def write_results(path, text, command="make bench"):
    """Between the marks is the command's; what people write around it stays."""
    begin, end = f"<!-- {command} writes from here -->\n", "<!-- to here -->\n"
    old = path.read_text() if path.exists() else f"# What the bench measured\n\n{begin}{end}"
    head, _, rest = old.partition(begin)
    tail = rest.partition(end)[2]
    path.write_text(head + begin + text + end + tail)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--bin", type=pathlib.Path, required=True, help="nestgate, bench_* and micro_*")
    arguments.add_argument("--raw", type=pathlib.Path, required=True, help="where the raw figures and logs go")
    arguments.add_argument("--smoke", action="store_true", help="short; no verdict, RESULTS.md stays")
    arguments.add_argument("--peers", default="nestgate,nginx,haproxy,relay")
    arguments.add_argument("--access-logs", action="store_true", help="every proxy logs each request")
    options = arguments.parse_args()
    peers.access_logs = options.access_logs
    steps = plan(options.smoke)
    work = options.raw.resolve()
    work.mkdir(parents=True, exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    try:
        bench = Bench(options.bin.resolve(), work, options.peers.split(","), steps)
        requests, tunnels = bench.requests(), bench.tunnels()
    except (RuntimeError, subprocess.TimeoutExpired) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    finally:
        peers.Program.stop_all()

    names = [peer.name for peer in bench.peers]
    raw = {"access_logs": options.access_logs, "date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(), "rounds": steps["rounds"], "seconds": steps["seconds"],
           "peers": [{"name": peer.name, "version": peer.version} for peer in bench.peers],
           "noise": [] if options.smoke else noise(requests, names), "requests": requests, "tunnels": tunnels,
           "micro": micro(options.bin.resolve(), steps["micro_seconds"])}
    (work / "results.json").write_text(json.dumps(raw, indent=1))
    text = report(raw)
    print("\n" + text)
    if options.smoke:
        return 0
    write_results(pathlib.Path(__file__).with_name("RESULTS.md"), text)
    if "nestgate" not in names or "nginx" not in names:
        return 0
    found = ratio(requests, VERDICT_CONNECTIONS, "nestgate", "nginx")
    print(f"nestgate's CPU per request at {VERDICT_CONNECTIONS} connections is {found:.2f} of nginx's; allowed: 1.00")
    return 0 if found <= 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
