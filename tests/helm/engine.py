"""Renders a chart with Helm 4.

Standard input: a JSON list of {"values": YAML text, "release": name, "namespace": name}. Standard output: a JSON list of
{"files": {template: text}} or {"error": sentence}, with "lint" for what `helm lint --strict` says beyond hints.
Argument: the chart's directory.
"""

import json
import sys

from helm_python import Chart, chart, errors


def render(loaded, request):
    try:
        values = chart.values_from_yaml(request["values"])
        # Which Helm does before it renders, and this library does not.
        loaded.validate_schema(values)
        files = loaded.render(values, name=request["release"], namespace=request["namespace"])
    except errors.HelmError as error:
        return {"error": str(error)}
    report = chart.lint(sys.argv[1], values, strict=True, namespace=request["namespace"])
    # Severity 1 is a hint.
    said = [message["error"] for message in report["messages"] if message["severity"] > 1]
    return {"files": files, "lint": said + report["errors"]}


with Chart.load(sys.argv[1]) as loaded:
    json.dump([render(loaded, request) for request in json.load(sys.stdin)], sys.stdout)
