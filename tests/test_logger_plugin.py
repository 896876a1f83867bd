"""`snakemake --logger tausweep`: Snakemake's own tests of such a plug-in, and how it is found."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

from snakemake_logger_plugin_tausweep import LogHandler, LogHandlerSettings


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """The handler of Ctrl-C as it was."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class TestByTheInterface(TestLogHandlerBase):
    """What Snakemake's interface asks of a plug-in."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def errors_are_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not printed, as in a process that must go on logging."""

        def fail(self: LogHandler, record: logging.LogRecord) -> None:
            raise

        monkeypatch.setattr(LogHandler, "handleError", fail)

    def get_log_handler_cls(self) -> type[LogHandler]:
        """The handler."""
        return LogHandler

    def get_log_handler_settings(self) -> LogHandlerSettings:
        """Its settings."""
        return LogHandlerSettings("tausweep run study.yaml")


def test_snakemake_finds_it_by_its_name() -> None:
    plugin = LoggerPluginRegistry().get_plugin("tausweep")
    assert plugin.log_handler is LogHandler  # type: ignore[attr-defined]
    assert plugin.get_cli_arg("again") == "--logger-tausweep-again"


def test_a_dry_run_is_left_to_snakemake(capsys: pytest.CaptureFixture[str]) -> None:
    settings = MockOutputSettings()
    settings.dryrun = True
    handler = LogHandler(settings, LogHandlerSettings())
    assert not handler.writes_to_stream
    handler.emit(logging.makeLogRecord({"msg": "rule pretrain", "levelno": logging.ERROR}))
    handler.close()
    assert capsys.readouterr().out == ""


def test_ctrl_c_is_noticed_and_handled_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    arrived: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
    mine = signal.getsignal(signal.SIGINT)
    handler = LogHandler(MockOutputSettings(), LogHandlerSettings())
    signal.raise_signal(signal.SIGINT)
    handler.emit(logging.makeLogRecord({"msg": "Terminating processes"}))
    handler.close()
    assert arrived == [signal.SIGINT]
    assert "stopping" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is mine
