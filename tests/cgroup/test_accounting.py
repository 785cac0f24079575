# SPDX-License-Identifier: Apache-2.0
"""What the metrics tell of processes, one by one and together."""

import os

from conftest import wait_for


def rows(metrics, name):
    return {key[len(name):]: value for key, value in metrics.items() if key.startswith(name + "{")}


def test_cpu_and_memory_of_each(start):
    daemon = start("-process-accounting")
    busy = daemon.client.sh("(while :; do :; done) & wait", tag='a "tag"\\\n')
    idle = daemon.client.start("sleep", "1000")
    label = '{pid="%d",tag="a \\"tag\\"\\\\\\n"}' % busy.pid
    other = '{pid="%d",tag=""}' % idle.pid
    wait_for(lambda: rows(daemon.metrics(), "process_cpu_seconds_total")[label] > 0.2, "its time")
    metrics = daemon.metrics()
    cpu = rows(metrics, "process_cpu_seconds_total")
    assert set(cpu) == {label, other}
    assert cpu[other] < cpu[label]
    # Of memory there is only something to tell where cgroup2 has the controller.
    group = daemon.tree.at("user", daemon.tree.children("user")[0])
    expected = cpu.keys() if os.path.exists(os.path.join(group, "memory.current")) else set()
    for name in ("process_memory_bytes", "process_memory_peak_bytes"):
        assert rows(metrics, name).keys() == expected
        assert all(value > 0 for value in rows(metrics, name).values())
    daemon.client.kill(busy.pid)
    busy.drain()
    assert set(rows(daemon.metrics(), "process_cpu_seconds_total")) == {other}


def test_where_there_is_no_controller_it_is_said(start):
    daemon = start("-process-accounting")
    has_memory = "memory" in open(daemon.tree.at("cgroup.controllers")).read().split()
    assert ("no memory of single processes" in daemon.log()) == (not has_memory)


def test_not_without_the_flag(daemon, envd):
    envd.start("sleep", "1000")
    assert not rows(daemon.metrics(), "process_cpu_seconds_total")


def test_all_processes_together(daemon, envd):
    before = daemon.metrics()
    assert before["envd_processes"] == before["envd_processes_started_total"] == 0
    stream = envd.sh("echo 12345; sleep 1000").until("stdout", b"12345\n")
    reader = envd.connect(stream.pid)
    envd.run("true")
    after = daemon.metrics()
    assert after["envd_processes"] == 1
    assert after["envd_process_readers"] == 2
    assert after["envd_processes_started_total"] == 2
    assert after["envd_process_output_bytes_total"] == 6
    assert after["envd_oom_kills_total"] == 0
    assert after["envd_resident_memory_bytes"] > 100000
    assert after["envd_log_lines_dropped_total"] == 0
    for kind in ("connections", "streams", "processes", "watchers", "bytes"):
        assert f'envd_budget_used{{kind="{kind}"}}' in after
        assert after[f'envd_budget_limit{{kind="{kind}"}}'] > 0
    reader.close()
    stream.close()


def test_freezes(daemon):
    daemon.freeze(maxWaitMs=20000)
    daemon.unfreeze()
    metrics = daemon.metrics()
    assert (metrics["envd_freezes_total"], metrics["envd_thaws_total"]) == (1, 1)
    assert metrics["envd_thaws_by_watchdog_total"] == 0


def test_what_a_process_has_left(daemon, envd):
    stream = envd.sh("setsid sleep 1000 >/dev/null 2>&1 & :").drain()
    assert stream.end["exited"]
    wait_for(lambda: daemon.metrics()["envd_cgroups_lingering"] == 1, "its cgroup to linger")
