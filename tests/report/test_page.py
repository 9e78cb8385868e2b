import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from secateur.core.errors import CheckpointError, DataError
from secateur.report.page import render, write_report

VOID = {"meta", "link", "br", "col", "img", "hr"}


class _Structure(HTMLParser):
    """Checks that elements nest and collects text, ids and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _parse(page):
    structure = _Structure()
    structure.feed(page)
    structure.close()
    assert structure.open == []
    return structure


def test_page_nests_holds_all_parts_and_asks_nothing_of_the_network(run_folder):
    page = write_report(run_folder).read_text()
    structure = _parse(page)
    assert all(address.startswith("data:") for address in structure.addresses)
    assert "<script" not in page
    assert not re.search(r"url\(|@import|https?://", page)
    text = " ".join(structure.text)
    for heading in (
        "Dense beside pruned",
        "The way through the stages",
        "What was cut where",
        "Under noise",
        "Which faults are mistaken",
        "Beside simpler models",
        "What the models hear",
        "How this came about",
    ):
        assert heading in text
    assert len(page) < 400_000


def test_figures_are_those_of_the_run(result, records, examples, plan):
    text = " ".join("".join(_parse(render(result, records, examples, plan)).text).split())
    assert "9.47 M parameters cut to 685 k" in text
    assert "13.8×" in text
    assert "98.4 %" in text
    assert "97.9 %" in text
    assert "−0.5 pt" in text
    assert "37.9 MB" in text
    assert "1/13.8" in text
    assert "2.74 MB" in text
    assert "98.7 %" in text
    assert "This split leaks." in text
    assert "Specimen ir007 stands in training and in test." in text
    assert "layers 1, 3–4, 6–7" in text
    assert "1.3e-06 of the checkpoint over 64 windows" in text
    assert "secateur compress --data simulated --ratio 13.8" in text


def test_split_that_does_not_leak_is_not_called_leaking(result, records):
    result["split"]["leaks"] = False
    text = " ".join(_parse(render(result, records, None, None)).text)
    assert "This split leaks" not in text
    assert "No specimen stands on both sides" in text


def test_missing_parts_are_left_out_and_nothing_is_made_up():
    bare = render({"dense": {"parameters": 1000, "accuracy": 0.5}}, [], None, None)
    text = " ".join(_parse(bare).text)
    assert "50.0 %" in text
    for absent in (
        "cut where",
        "Under noise",
        "mistaken",
        "simpler models",
        "hear",
        "leaks",
        "macro-F1",
        "nan",
    ):
        assert absent not in text
    _parse(render({}, [], None, None))


def test_names_from_the_data_are_escaped(result, records, examples, plan):
    result["split"]["leak_reason"] = "<script>alert(1)</script>"
    examples["classes"] = np.array(["<b>", "inner_race", "outer_race", "ball"])
    examples["recording_id"] = np.array(['"><img src=x>'] * 4)
    records[0]["stage"] = "<i>layers"
    page = render(result, records, examples, plan)
    _parse(page)
    for raw in ("<script", "<b>:", "<img", "<i>layers"):
        assert raw not in page


def test_missing_and_damaged_files_are_named(run_folder):
    (run_folder / "examples.npz").write_bytes(b"PK not an archive")
    with pytest.raises(CheckpointError, match=r"examples\.npz is damaged"):
        write_report(run_folder)
    np.savez(run_folder / "examples.npz", waveform=np.zeros((1, 4)))
    with pytest.raises(CheckpointError, match="lacks sampling_rate_hz"):
        write_report(run_folder)
    (run_folder / "examples.npz").unlink()
    (run_folder / "pruned" / "plan.json").unlink()
    (run_folder / "records.jsonl").unlink()
    assert write_report(run_folder) == run_folder / "report.html"
    (run_folder / "result.json").unlink()
    with pytest.raises(DataError, match=r"holds no result\.json, so it is no finished run"):
        write_report(run_folder)


def test_unfinished_stage_records_and_undone_stages(result, records):
    records[2]["accepted"] = False
    records.append({"event": "note"})
    text = " ".join(_parse(render(json.loads(json.dumps(result)), records, None, None)).text)
    assert "undone: a floor was broken" in text


def test_a_cut_language_model_stands_beside_the_dense_one_on_two_texts():
    result = {"dense": {"parameters": 2_000_000}, "pruned": {"parameters": 1_000_000}, "ratio": 2.0}
    result["standings"] = {
        "dense": {"figures": {"parameters": 2e6, "perplexity": 8.0}, "over_dense": None, "elsewhere": None},
        "cut": {
            "figures": {"parameters": 1e6, "perplexity": 10.0},
            "over_dense": [1.25, 1.2, 1.3],
            "elsewhere": [1.75, 1.7, 1.8],
        },
    }
    text = " ".join(" ".join(_parse(render(result, [], None, None)).text).split())
    assert "10.000 perplexity, pruned (dense 8.000)" in text
    assert "against dense on a general text" in text
    assert "1.250 (1.200 to 1.300) 1.750 (1.700 to 1.800)" in text
    assert "on test windows" not in text
    del result["standings"]["cut"]["elsewhere"], result["standings"]["dense"]["elsewhere"]
    assert "general text" not in render(result, [], None, None)
