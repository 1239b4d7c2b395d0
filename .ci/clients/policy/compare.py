"""Compares the decisions of package auth/policy with those of moto's IAM.

moto must agree about random documents of what it can read. What it reads otherwise than IAM's documentation is in
DIFFERENCES, with the decision of the documentation: ours must be that decision, and moto's must be the other, so that
the list stays true.
"""

import json
import subprocess
import sys

from moto.iam.access_control import IAMPolicy, PermissionResult

WORDS = {PermissionResult.PERMITTED: "Allow", PermissionResult.DENIED: "Deny", PermissionResult.NEUTRAL: "NoMatch"}
STAGE = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"
METHOD = STAGE + "/GET/a:x:y"

ALLOW = {"Effect": "Allow", "Action": ["execute-api:Invoke"], "Resource": ["*"]}
# What is different, a statement, IAM's decision about METHOD, moto's, and the page of the IAM User Guide.
DIFFERENCES = [
    ("actions without regard to case", {**ALLOW, "Action": ["EXECUTE-API:invoke"]}, "Allow", "NoMatch", "Action"),
    ("a question mark is one character", {**ALLOW, "Action": ["execute-api:Invok?"]}, "Allow", "NoMatch", "Action"),
    ("a question mark is no less", {**ALLOW, "Resource": [METHOD + "b?"]}, "NoMatch", "Allow", "Resource"),
    ("NotResource", {"Effect": "Allow", "Action": ["*"], "NotResource": [STAGE + "/GET/*"]}, "NoMatch", "Allow", "NotResource"),
    ("NotResource denies", {"Effect": "Deny", "Action": ["*"], "NotResource": [STAGE + "/POST/*"]}, "Deny", "Allow", "NotResource"),
    ("a wildcard that allows stays between two colons", {**ALLOW, "Resource": ["arn:aws:execute-api:*:x:y"]}, "NoMatch", "Allow", "Resource"),
    ("a denial whose condition does not hold", {**ALLOW, "Effect": "Deny", "Condition": {"StringEquals": {"aws:UserAgent": ["a"]}}}, "NoMatch", "Deny", "Condition"),
    ("the condition of another operator", {**ALLOW, "Condition": {"StringLike": {"aws:UserAgent": ["a"]}}}, "NoMatch", "Allow", "Condition"),
    ("a condition on an absent key", {**ALLOW, "Condition": {"StringEquals": {"aws:UserAgent": ["a"]}}}, "NoMatch", "Allow", "Condition operators"),
]


def moto(document, resource):
    policy = IAMPolicy(json.dumps(document))
    return WORDS[policy.is_action_permitted("execute-api:Invoke", resource)]


def ask(ours, *arguments, asked=None):
    out = subprocess.run([ours, *arguments], input=json.dumps(asked), capture_output=True, check=True, text=True)
    return json.loads(out.stdout)


def main(ours):
    cases, decided = ask(ours), set()
    for case in cases:
        decided.add(case["Ours"])
        theirs = moto(case["Document"], case["Resource"])
        assert theirs == case["Ours"], f"moto decides {theirs} about {json.dumps(case)}"
    assert len(decided) == 3, decided
    asked = [{"Document": {"Version": "2012-10-17", "Statement": [s]}, "Resource": METHOD} for _, s, *_ in DIFFERENCES]
    for case, (name, _, right, wrong, page) in zip(ask(ours, "-", asked=asked), DIFFERENCES):
        assert case["Ours"] == right, f"{name}: ours is {case['Ours']}, the page {page} says {right}"
        theirs = moto(case["Document"], case["Resource"])
        assert theirs == wrong, f"{name}: moto decides {theirs}, and did decide {wrong}"
    print(f"policy: PASS: moto's IAM decides alike about {len(cases)} documents, and otherwise than IAM in the {len(asked)} listed ways")


main(sys.argv[1])
