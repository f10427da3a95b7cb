"""Root hooks of pytest. They act on ``benchmarks/`` alone; what they do is in ``fixtures/``, one concern per file."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from fixtures import cases, options, outcomes, plan, suite
from fixtures.collection import Collecting
from fixtures.controller import GATE, Controller
from fixtures.verdicts import Measured

pytest_plugins = ["fixtures.session", "fixtures.findings_fixtures"]

_dist_given = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the suite's options."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Note whether the user chose a distribution, before pytest-xdist chooses one for ``-n``."""
    config.stash[_dist_given] = config.getoption("distload", False) or config.getoption("dist", "no") != "no"


def pytest_configure(config: pytest.Config) -> None:
    """Open the suite, and in the controlling process what names, collates and summarises its run."""
    opened = suite.open_suite(config)
    if opened is not None and opened.distributed:
        config.option.benchmark_disable = True  # or pytest-benchmark warns that it does not time under -n
        config.pluginmanager.register(Collecting(), "geofm_eval_collecting")
    elif opened is not None:
        config.pluginmanager.register(Controller(config, opened), "geofm_eval_controller")
        config.pluginmanager.register(Measured(config), "geofm_eval_measured")
        if opened.options.estimate:
            config.option.dist, config.option.tx = "no", []  # no workers; -n says how many to plan for
        if not config.option.collectonly:
            from fixtures.pulsing import NAME, Pulsing  # here, because collection alone prints no plan

            config.pluginmanager.register(Pulsing(config, opened), NAME)
        if opened.options.baseline is not None:
            from fixtures.gate import Gate  # here, because it loads what a session without a baseline does not need

            config.pluginmanager.register(Gate(config, opened), GATE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the cases of a model and data set on one worker, unless the user chose a distribution."""
    opened = suite.suite_of(config)
    if opened is None or config.stash[_dist_given]:
        return None
    from fixtures.scheduler import GroupScheduling, group_of  # here, so that the suite runs without pytest-xdist

    return GroupScheduling(config, log, group_of(opened.catalog))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a file of ``benchmarks/`` that has nothing to say about the selected cases; one that is named stays."""
    opened = suite.suite_owning(config, collection_path)
    return True if opened is not None and opened.leaves_out(collection_path) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per case."""
    opened = suite.suite_owning(metafunc.config, metafunc.definition.path)
    if opened is not None:
        cases.parametrize(metafunc, opened.cases, opened.catalog)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases that cannot run here, with ``--runnable``."""
    opened = suite.suite_of(config)
    if opened is not None and opened.options.runnable:
        plan.deselect_unrunnable(config, items, opened)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip a case whose fixtures miss something that is merely absent."""
    opened = suite.suite_owning(item.config, item.path)
    if opened is None:
        return (yield)
    with outcomes.skipping(item, opened):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the record of a case when its outcome is known."""
    report = yield
    opened = suite.suite_owning(item.config, item.path)
    if opened is not None:
        outcomes.settle(item, call, report, opened)
    return report
