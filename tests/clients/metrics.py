"""Reads what Prometheus would: /metrics on standard input by Prometheus' own parser of OpenMetrics, and the expressions
of a dashboard of Grafana and of a file of alert rules by a parser of PromQL, which checks types, too. Each metric and
label that these name must be there. Prints how many there are, or what is wrong, and then exits with 1.

    metrics.py grafana.json alerts.yml < metrics
"""

import json
import sys

import promql_parser
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

# The samples of a family, by its type.
ENDINGS = {'counter': ['_total'], 'gauge': [''], 'histogram': ['_bucket', '_count', '_sum']}
# Labels that Prometheus adds.
ADDED = {'instance', 'job'}


def expressions(dashboard, rules):
    """(where, expression) of each panel and each rule."""
    for panel in dashboard['panels']:
        for target in panel['targets']:
            # What Grafana puts in.
            yield panel['title'], target['expr'].replace('$__rate_interval', '5m')
    for group in rules['groups']:
        for rule in group['rules']:
            yield rule['alert'], rule['expr']


def walk(node, visit):
    """Visits an expression and all parts of it."""
    visit(node)
    for name in ('expr', 'lhs', 'rhs', 'vector_selector', 'param'):
        part = getattr(node, name, None)
        if isinstance(part, promql_parser.Expr):
            walk(part, visit)
    for argument in getattr(node, 'args', None) or []:
        walk(argument, visit)


def main():
    with open(sys.argv[1]) as file:
        dashboard = json.load(file)
    with open(sys.argv[2]) as file:
        rules = yaml.safe_load(file)
    problems, labels, families = [], {}, 0
    for family in text_string_to_metric_families(sys.stdin.read()):
        families += 1
        if not family.documentation:
            problems.append(f'{family.name} has no help')
        if family.type not in ENDINGS:
            problems.append(f'{family.name} has the type {family.type}')
        for ending in ENDINGS.get(family.type, []):
            labels[family.name + ending] = None
        for sample in family.samples:
            labels[sample.name] = (labels.get(sample.name) or set()) | set(sample.labels)
    parsed, silent = 0, set()
    for where, text in expressions(dashboard, rules):
        named = set()

        def visit(node):
            selector = getattr(node, 'vector_selector', node)
            if isinstance(selector, promql_parser.VectorSelector):
                named.add(selector.name)
                asked.update(matcher.name for matcher in selector.matchers.matchers)
            modifier = getattr(node, 'modifier', None)
            if isinstance(modifier, promql_parser.AggModifier):
                asked.update(modifier.labels)
            matching = getattr(modifier, 'matching', None)
            if matching is not None:
                asked.update(matching.labels)

        asked = set()
        try:
            walk(promql_parser.parse(text), visit)
        except ValueError as error:
            problems.append(f'{where}: {error}: {text}')
            continue
        parsed += 1
        if not named:
            problems.append(f'{where} names no metric: {text}')
        problems.extend(f'{where}: there is no {name}' for name in sorted(named - labels.keys()))
        # Labels are known of what has samples.
        unknown = {name for name in named if labels.get(name) is None}
        silent |= unknown
        if not unknown:
            known = set().union(*(labels[name] for name in named), ADDED)
            problems.extend(f'{where}: no label {label}: {text}' for label in sorted(asked - known))
    for problem in problems:
        print(problem)
    print(json.dumps({'families': families, 'expressions': parsed, 'without_samples': sorted(silent)}))
    sys.exit(1 if problems else 0)


main()
