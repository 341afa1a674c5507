from __future__ import annotations

import json

import pytest

from policypress.cli.doctor import doctor


def test_doctor_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    text = capsys.readouterr().out
    for word in ("what can be measured", "energy meters", "rapl", "compilers", "onnxruntime", "optional packages"):
        assert word in text


def test_doctor_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == 1
    assert data["machine"]["cores_logical"] >= 1
    assert {"name", "available", "purpose", "detail", "advice"} == set(data["meters"][0])
