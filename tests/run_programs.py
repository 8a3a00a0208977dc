"""Runs the test programs of a build directory and counts their test cases.

Called by tests/run. Programs run in parallel, those that Meson knows as not parallel (or of the suite
"integration": they mount) one at a time after the others. A program that crashes, times out, leaves a
mount or a process behind, or has a sanitizer report is a failure of its own beside its test cases.
"""

import argparse
import concurrent.futures
import dataclasses
import fnmatch
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = "OUTBOXFS_TEST_RUN"  # in the environment of all that a test starts: how we find leftovers
SLOWER = {"plain": 1, "asan": 3, "tsan": 8}
# Root gives each program a mount namespace, so that its mounts are told from everybody else's. Mounts of
# ours that exist outside are dropped inside, or they could not end before the test does. The shell
# lists the mounts that the program left.
NAMESPACE = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c",
             """list=$1; shift; umount -a -l -t fuse.outboxfs 2>/dev/null
             "$@"; code=$?; cat /proc/self/mountinfo >"$list"; exit $code""", "sh"]


@dataclasses.dataclass
class Outcome:
    name: str
    passed: int = 0
    failures: list = dataclasses.field(default_factory=list)
    skipped: int = 0
    seconds: float = 0.0


def sanitizer_environment(kind, report):
    """Options of the sanitizers' run-times; reports of every process go to files that we look for."""
    tests = ROOT / "tests"
    log = f"log_path={report}"
    if kind == "asan":
        return {
            "ASAN_OPTIONS": f"detect_leaks=1:detect_stack_use_after_return=1:{log}",
            "LSAN_OPTIONS": f"suppressions={tests}/lsan.supp:print_suppressions=0",
            "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:{log}",
        }
    if kind == "tsan":
        return {
            # The list of addresses that were reported, also of what is suppressed, is searched from its
            # begin for each report: inside gRPC it grows until nothing else is done.
            "TSAN_OPTIONS": "second_deadlock_stack=1:suppress_equal_addresses=0:"
                            f"suppressions={tests}/tsan.supp:{log}",
        }
    return {}


def fuse_mounts(table="/proc/self/mountinfo"):
    """Mountpoints of FUSE file systems, as (mountpoint, mount options of the file system)."""
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        rows = [line.rstrip("\n").split(" - ") for line in lines]
    # Field 4 is the mountpoint, with spaces and the like as octal escapes.
    return {(left.split()[4], right) for left, right in rows if right.startswith("fuse")}


def unescape(mountpoint):
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), mountpoint)


def marked_processes(mark):
    """Process ids whose environment carries our mark: started, directly or not, by that test."""
    needle = f"{MARK}={mark}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            if needle in environment:
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                found[int(entry)] = " ".join(part.decode(errors="replace") for part in command[:4])
        except OSError:
            continue  # gone meanwhile, or not ours
    return found


def leftovers(mark):
    """What a test left running, given a moment to end by itself; ends it."""
    deadline = time.monotonic() + 5
    while (found := marked_processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return [f"left a process behind: {command.strip()}" for command in found.values()]


def left_mounts(before, list_file):
    """Mounts that a program left in its namespace; without one, those that appeared meanwhile."""
    if list_file.exists():
        left = fuse_mounts(list_file) - before - fuse_mounts()  # the namespace has ended, and they with it
    elif os.getuid() == 0:
        left = set()  # killed before it could list them
    else:
        left = {mount for mount in fuse_mounts() - before if f"user_id={os.getuid()}" in mount[1]}
        for mountpoint, _ in left:
            subprocess.run(["fusermount3", "-u", "-z", unescape(mountpoint)], check=False,
                           stderr=subprocess.DEVNULL)
    return [f"left a mount behind: {unescape(mountpoint)}" for mountpoint, _ in sorted(left)]


def count_cases(outcome, result_file, log_file, exit_text):
    """Fills in the test cases of a program; from its log when it died before it wrote its results."""
    if result_file.exists():
        for suite in json.loads(result_file.read_text(encoding="utf-8"))["testsuites"]:
            for case in suite["testsuite"]:
                if case.get("failures"):
                    outcome.failures.append(f"{suite['name']}.{case['name']}")
                elif case["result"] == "COMPLETED":
                    outcome.passed += 1
                elif case["result"] == "SKIPPED":
                    outcome.skipped += 1
        if exit_text and not outcome.failures:
            outcome.failures.append(f"(program) {exit_text} although its test cases passed")
        return
    log = log_file.read_text(encoding="utf-8", errors="replace")
    started = re.findall(r"^\[ RUN      \] (\S+)", log, re.MULTILINE)
    if not started:  # not GoogleTest, or dead before the first case
        if exit_text:
            outcome.failures.append(f"(program) {exit_text}")
        else:
            outcome.passed += 1
        return
    outcome.passed = len(re.findall(r"^\[       OK \] ", log, re.MULTILINE))
    outcome.failures += re.findall(r"^\[  FAILED  \] (\S+?),? .*\(\d+ ms\)", log, re.MULTILINE)
    outcome.failures.append(f"(program) {exit_text or 'ended early'} in {started[-1]}")


def run_to_end(command, environment, log_file, timeout, workdir):
    """Runs a program; returns why it failed, or nothing."""
    with open(log_file, "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, env=environment, cwd=workdir,
                                 start_new_session=True)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGABRT)
            time.sleep(0.5)
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"timed out after {timeout:.0f} s"
    if code < 0 or code > 128:  # above 128: as the shell of NAMESPACE says it
        return f"crashed with {signal.Signals(-code if code < 0 else code - 128).name}"
    return f"exited with {code}" if code else ""


def run_program(test, options, logs):
    name = test["name"]
    outcome = Outcome(name)
    safe = re.sub(r"[^\w.-]", "_", name)
    log_file, result_file = logs / f"{safe}.log", logs / f"{safe}.json"
    report = logs / f"{safe}.sanitizer"
    mark = f"{os.getpid()}-{safe}"
    environment = {**os.environ, **test["env"], **sanitizer_environment(options.kind, report),
                   MARK: mark, "GTEST_OUTPUT": f"json:{result_file}", "GTEST_COLOR": "no"}
    if options.filter:
        environment["GTEST_FILTER"] = options.filter
    command = test["cmd"]
    if options.kind != "plain":
        # The sanitizers of gcc 12 do not know the wide address randomisation of newer kernels.
        command = ["setarch", "-R", *command]
    list_file = logs / f"{safe}.mounts"
    if os.getuid() == 0:
        command = [*NAMESPACE, str(list_file), *command]
    mounts = fuse_mounts()
    # tests/run --soak
    longer = max(1, int(os.environ.get("OUTBOXFS_KILLS", "0")) / 50)
    limit = (test["timeout"] or 300) * SLOWER[options.kind] * longer
    started = time.monotonic()
    exit_text = run_to_end(command, environment, log_file, limit, test["workdir"])
    outcome.seconds = time.monotonic() - started
    count_cases(outcome, result_file, log_file, exit_text)
    outcome.failures += left_mounts(mounts, list_file) + leftovers(mark)
    reports = [path for path in logs.glob(f"{safe}.sanitizer.*") if path.stat().st_size]
    if reports:
        outcome.failures.append(f"(sanitizer) {len(reports)} processes reported: {logs}/{safe}.sanitizer.*")
    return outcome


def telling_lines(log):
    """What failing test cases printed (of GoogleTest's output), or the end of any other output."""
    told, case = [], []
    for line in log.splitlines():
        if line.startswith("[ RUN      ]"):
            case = []
        case.append(line)
        if re.match(r"\[  FAILED  \] .*\(\d+ ms\)", line):
            told += case[-40:]
        if re.match(r"\[  (FAILED| SKIPPED|     OK) ", line) or line.startswith("[==="):
            case = []
    return told + case[-40:]  # `case`: what was running when the program ended


def show(outcome, logs):
    verdict = "FAILED" if outcome.failures else "ok"
    skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
    print(f"{verdict:6} {outcome.name}: {outcome.passed} passed, {len(outcome.failures)} failed"
          f"{skipped} ({outcome.seconds:.1f} s)", flush=True)
    if not outcome.failures:
        return
    safe = re.sub(r"[^\w.-]", "_", outcome.name)
    lines = telling_lines((logs / f"{safe}.log").read_text(encoding="utf-8", errors="replace"))[:200]
    for report in sorted(logs.glob(f"{safe}.sanitizer.*"))[:2]:
        lines += report.read_text(encoding="utf-8", errors="replace").splitlines()[:60]
    print("\n".join(f"       | {line}" for line in lines))
    for failure in outcome.failures:
        print(f"       - {failure}")


def choose(tests, options):
    """Drops what was not asked for; a filter of cases leaves out programs without cases."""
    if options.programs:
        return [test for test in tests
                if any(fnmatch.fnmatch(test["name"], pattern) for pattern in options.programs)]
    if options.filter:
        scripts = ("layering", "packaging_setup", "packaging_quickstart")
        return [test for test in tests if test["name"] not in scripts]
    return tests


def is_serial(test):
    return not test["is_parallel"] or any("integration" in suite for suite in test["suite"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--kind", choices=SLOWER, default="plain")
    parser.add_argument("--filter")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()

    build = (ROOT / options.build).resolve()
    introspected = subprocess.run(["meson", "introspect", "--tests", str(build)],
                                  capture_output=True, check=True)
    # Tests of subprojects are not ours to run.
    tests = [test for test in json.loads(introspected.stdout)
             if any(suite.split(":")[0] == "outboxfs" for suite in test["suite"])]
    tests = choose(tests, options)
    logs = build / "test-logs"
    logs.mkdir(exist_ok=True)
    for old in logs.iterdir():
        old.unlink()

    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(run_program, test, options, logs)
                   for test in sorted(tests, key=lambda test: -test["priority"])
                   if not is_serial(test)]
        for done in concurrent.futures.as_completed(running):
            outcomes.append(done.result())
            show(outcomes[-1], logs)
    for test in filter(is_serial, tests):
        outcomes.append(run_program(test, options, logs))
        show(outcomes[-1], logs)

    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(len(outcome.failures) for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    if skipped:
        print(f"{skipped} skipped")
    if failed:
        names = [f"{outcome.name}: {failure}" for outcome in outcomes for failure in outcome.failures]
        print("failed:\n  " + "\n  ".join(names))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
