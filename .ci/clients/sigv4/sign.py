"""Signs the cases with botocore, compares its signatures with ours, and prints the requests as they would be sent."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOST, REGION = "https://api.example.com", "eu-west-1"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def at(date):
    """Sets botocore's clock to the date."""
    moment = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ")
    botocore.auth.get_current_datetime = lambda *args, **options: moment


def emit(number, case, method, target, headers, body):
    request = {"case": number, "method": method, "target": target, "headers": headers, "body": body}
    request |= {name: case[name] for name in ("token", "s3", "date")}
    print(json.dumps(request))


def signed(number, case, credentials, target):
    auth = botocore.auth.S3SigV4Auth if case["s3"] else botocore.auth.SigV4Auth
    request = AWSRequest(case["method"], HOST + target, dict(case["headers"]), case["body"].encode())
    auth(credentials, "s3" if case["s3"] else "execute-api", REGION).add_auth(request)
    if request.headers["Authorization"] != case["authorization"]:
        sys.exit(f"botocore: case {number}: {request.headers['Authorization']}, ours is {case['authorization']}: {case}")
    emit(number, case, case["method"], target, dict(request.headers.items()), case["body"])


def presigned(number, case, credentials, target):
    if len({name for name, _ in case["params"]}) < len(case["params"]):
        return False  # botocore's presigner drops repeated parameters
    auth = botocore.auth.S3SigV4QueryAuth if case["s3"] else botocore.auth.SigV4QueryAuth
    request = AWSRequest("GET", HOST + target)
    auth(credentials, "s3" if case["s3"] else "execute-api", REGION, expires=60).add_auth(request)
    if not request.url.endswith("X-Amz-Signature=" + case["presigned"]):
        sys.exit(f"botocore: case {number}: {request.url}, our signature is {case['presigned']}")
    emit(number, case, "GET", request.url.removeprefix(HOST), {}, "")
    return True


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    for number, case in enumerate(cases):
        at(case["date"])
        credentials = Credentials(KEY, SECRET, case["token"] or None)
        target = case["path"] + ("?" + case["query"] if case["query"] else "")
        signed(number, case, credentials, target)
        presigned(number, case, credentials, target)


main()
