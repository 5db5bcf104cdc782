"""What `holdfast up` says of a data directory it cannot work in, before anything is started."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.stack import supervisor
from service.stack.embedded import DataUnusable, stores


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_data_directory_that_cannot_be_written_to_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    (tmp_path / "file").write_text("")
    assert supervisor.run(tmp_path / "file" / below, "127.0.0.1", 0, 1) == 3
    said = capsys.readouterr().err
    assert "cannot be written to" in said
    assert "--data" in said


def test_a_full_disk_is_said_before_a_server_fails_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7 << 20))
    assert supervisor.run(tmp_path / "data", "127.0.0.1", 0, 1) == 2
    assert "7 MiB are free" in capsys.readouterr().err


def test_a_directory_without_permission_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(DataUnusable, match="Permission denied"), stores.owned(tmp_path / "data"):
        pass
