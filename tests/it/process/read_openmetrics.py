"""Scrapes an exporter as Python programs do and prints what the parsers of the reference client library read, as JSON.

    read_openmetrics.py URL

Requests each text format in each encoding. Bodies are fetched with urllib and decompressed in one call of the standard
library's gzip, so a body of which some reader would see only a part does not pass.
"""

import gzip
import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

FORMATS = [
    ("text/plain;version=0.0.4", text),
    ("text/plain;version=1.0.0", text),
    ("application/openmetrics-text;version=0.0.1", openmetrics),
    ("application/openmetrics-text;version=1.0.0", openmetrics),
]
ENCODINGS = {
    "identity": lambda body: body,
    "gzip": gzip.decompress,
}


def number(value):
    """JSON knows no infinities."""
    return repr(float(value))


def exemplar(one):
    at = None if one.timestamp is None else number(one.timestamp)
    return {"labels": one.labels, "value": number(one.value), "at": at}


def sample(one):
    return {
        "name": one.name,
        "labels": one.labels,
        "value": number(one.value),
        "stamped": one.timestamp is not None,
        "exemplar": None if one.exemplar is None else exemplar(one.exemplar),
    }


def family(one):
    samples = [sample(each) for each in one.samples]
    return {"name": one.name, "type": one.type, "help": one.documentation, "unit": one.unit, "samples": samples}


def scrape(url, accept, parse, encoding):
    request = urllib.request.Request(url, headers={"Accept": accept, "Accept-Encoding": encoding})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content_type = answer.headers["Content-Type"]
        content_encoding = answer.headers.get("Content-Encoding", "identity")
        body = answer.read()
    if content_encoding != encoding:
        raise SystemExit(f"{accept} came as {content_encoding}, not {encoding}")
    exposition = ENCODINGS[encoding](body).decode("utf-8")
    families = [family(each) for each in parse(exposition)]
    return {"accept": accept, "encoding": encoding, "content_type": content_type, "families": families}


json.dump([scrape(sys.argv[1], *each, encoding) for each in FORMATS for encoding in ENCODINGS], sys.stdout)
