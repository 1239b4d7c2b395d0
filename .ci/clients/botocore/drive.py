"""Calls the loyalty example with botocore: SigV4Auth signs in the header, SigV4QueryAuth presigns the URL."""

import datetime
import json
import os
import re
import sys
import time

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

BASE, REGION = os.environ["BASE"], os.environ["AWS_REGION"]
ACCESS_KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
KEY, DISABLED_KEY = os.environ["API_KEY"], os.environ["DISABLED_API_KEY"]

LOYALTY = "/Prod/loyalty/" + os.environ["CUSTOMER"]
STRANGER = "/Prod/loyalty/no%20such%2Bcustomer%C3%A9"  # the signature covers the path as it is encoded
QUERY = "?lang=de&Zone=1&a-b=%2F&a=~x%20y"  # not sorted, and with encoded characters
POINTS = '{"points":900,"level":"bronze","remainingPoints":49100}'
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
LIMIT, RATE = 10, 1.0  # calls a day, calls a second

session = URLLib3Session()
checks, admitted, request_ids = 0, 0, set()


def check(ok, *what):
    global checks
    if not ok:
        sys.exit("botocore: " + " ".join(map(str, what)))
    checks += 1


def request(path, key=None, headers=None):
    headers = dict(headers or {})
    if key:
        headers["x-api-key"] = key
    return AWSRequest("GET", BASE + path, headers)


def sign(path, key=KEY, auth=SigV4Auth, access_key=ACCESS_KEY, secret=SECRET, minutes=0):
    """Returns a signed request. To set another date, it calls the signer's steps one by one."""
    r = request(path, key)
    signer = auth(Credentials(access_key, secret), "execute-api", REGION)
    if not minutes:
        signer.add_auth(r)
        return r
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    r.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(r)
    to_sign = signer.string_to_sign(r, signer.canonical_request(r))
    signer._inject_signature_to_request(r, signer.signature(to_sign, r))
    return r


def send(what, r):
    """Sends a request and checks what every answer must have."""
    response = session.send(r.prepare())
    check(response.headers.get("Content-Type") == "application/json", what, dict(response.headers))
    request_id = response.headers.get("x-amzn-RequestId", "")
    check(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id), what, "request id", request_id)
    check(request_id not in request_ids, what, "repeats request id", request_id)
    request_ids.add(request_id)
    return response


def refused(what, r, status, error, message):
    """Sends a request that must be refused. message is the expected text or a pattern."""
    response = send(what, r)
    got = response.status_code, response.headers.get("x-amzn-ErrorType")
    check(got == (status, error), what, "got", *got, response.text, "want", status, error)
    if isinstance(message, str):
        want = json.dumps({"message": message}, separators=(",", ":"))
        check(response.text == want, what, "got", response.text, "want", want)
    else:
        body = json.loads(response.text)
        check(list(body) == ["message"] and message.fullmatch(body["message"]), what, response.text, message.pattern)
    return response


def passes(what, r, status=200, body=POINTS):
    global admitted
    response = send(what, r)
    check((response.status_code, response.text) == (status, body), what, response.status_code, response.text)
    admitted += 1


def used():
    """Checks that the usage of the key is exactly what was admitted so far."""
    response = send("usage", request("/Prod/usage", KEY))
    check(response.status_code == 200, "usage", response.status_code, response.text)
    got = json.loads(response.text)
    midnight = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    want = {
        "plan": "RestrictUsage",
        "limit": LIMIT,
        "used": admitted,
        "remaining": LIMIT - admitted,
        "reset": f"{midnight}T00:00:00Z",
    }
    check({name: got.get(name) for name in want} == want, "usage", got, "want", want)


def pause(seconds=1 / RATE):
    time.sleep(seconds + 0.05)


def refusals():
    missing = 403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    refused("unsigned", request(LOYALTY, KEY), *missing)
    refused("no route", request("/Prod/nowhere"), *missing)
    refused("no route, signed", sign("/Prod/nowhere"), *missing)
    bearer = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    not_a_pair = re.compile(
        r"Invalid key=value pair \(missing equal-sign\) in Authorization header "
        r"\(hashed with SHA-256 and encoded with Base64\): '[A-Za-z0-9+/]{43}='\."
    )
    refused("bearer token", request(LOYALTY, KEY, bearer), 403, "IncompleteSignatureException", not_a_pair)

    for auth in SigV4Auth, SigV4QueryAuth:
        name = auth.__name__
        for what, key in ("no key", None), ("unknown key", "x" * 40), ("disabled key", DISABLED_KEY):
            refused(f"{name}, {what}", sign(LOYALTY, key, auth), 403, "ForbiddenException", "Forbidden")

        mismatch = 403, "InvalidSignatureException", re.compile(re.escape(MISMATCH) + r"(\n\n.*)?", re.DOTALL)
        refused(f"{name}, wrong secret", sign(LOYALTY, auth=auth, secret=SECRET[:-1]), *mismatch)
        tampered = sign(LOYALTY + "?points=1", auth=auth)
        tampered.url = tampered.url.replace("?points=1", "?points=2")
        refused(f"{name}, tampered query", tampered, *mismatch)
        tampered = sign(LOYALTY, auth=auth)
        tampered.url += ("&" if "?" in tampered.url else "?") + "points=1"
        refused(f"{name}, added query", tampered, *mismatch)
        tampered = sign(LOYALTY, auth=auth)
        tampered.url = tampered.url.replace(LOYALTY, STRANGER)
        refused(f"{name}, tampered path", tampered, *mismatch)
        tampered = sign(LOYALTY, DISABLED_KEY, auth)
        tampered.headers.replace_header("x-api-key", KEY)
        refused(f"{name}, exchanged key", tampered, *mismatch)

        stamp = r"\d{8}T\d{6}Z"
        late = re.compile(rf"Signature expired: {stamp} is now earlier than {stamp} \({stamp} - 5 min\.\)")
        early = re.compile(rf"Signature not yet current: {stamp} is still later than {stamp} \({stamp} \+ 5 min\.\)")
        refused(f"{name}, six minutes late", sign(LOYALTY, auth=auth, minutes=-6), 403, mismatch[1], late)
        refused(f"{name}, six minutes early", sign(LOYALTY, auth=auth, minutes=6), 403, mismatch[1], early)

        unknown = "The security token included in the request is invalid."
        stranger = sign(LOYALTY, auth=auth, access_key="AKIDUNKNOWN")
        refused(f"{name}, unknown access key", stranger, 403, "UnrecognizedClientException", unknown)


def faster_than_the_plan():
    pause(2 / RATE)  # until the bucket is full again
    for burst in range(LIMIT - admitted):
        response = send("burst", sign(LOYALTY))
        if response.status_code == 429:
            break
        check((response.status_code, response.text) == (200, POINTS), "burst", response.status_code, response.text)
    else:
        sys.exit("botocore: no call of a burst was refused")
    check(burst >= 2, "burst of", burst)
    check(response.text == '{"message":"Too Many Requests"}', response.text)
    check(response.headers.get("x-amzn-ErrorType") == "TooManyRequestsException", dict(response.headers))
    check(response.headers.get("Retry-After") == "1", dict(response.headers))
    time.sleep(1)
    return burst


def main():
    global admitted
    refusals()
    used()

    passes("signed", sign(LOYALTY))
    passes("presigned", sign(LOYALTY, auth=SigV4QueryAuth))
    used()
    pause()
    passes("signed, with a query", sign(LOYALTY + QUERY))
    pause()
    passes("presigned, with a query", sign(LOYALTY + QUERY, auth=SigV4QueryAuth))
    pause()
    passes("unknown customer", sign(STRANGER), 404, '{"message":"Customer not found"}')

    admitted += faster_than_the_plan()
    passes("after Retry-After", sign(LOYALTY))
    used()
    while admitted < LIMIT:
        pause()
        passes("up to the quota", sign(LOYALTY))
    pause()
    for auth in SigV4Auth, SigV4QueryAuth, SigV4Auth, SigV4QueryAuth:  # more than the burst, since these take no token from the bucket either
        response = refused("past the quota", sign(LOYALTY, auth=auth), 429, "LimitExceededException", "Limit Exceeded")
        now = datetime.datetime.now(datetime.timezone.utc)
        left = 86400 - (now.hour * 60 + now.minute) * 60 - now.second
        check(abs(int(response.headers.get("Retry-After", "0")) - left) <= 2, dict(response.headers), "want", left)
    used()


def tokens():
    """Checks the other authorizer of the example, which takes a JWT."""

    def me(token):
        return request("/Prod/me", headers={"Authorization": "Bearer " + token})

    good = os.environ["TOKEN"]
    invalid = 401, "UnauthorizedException", "Unauthorized"
    refused("no token", request("/Prod/me"), *invalid)
    refused("bad token", me(good[:-8] + "AAAAAAAA"), *invalid)
    refused("signature, not a token", sign("/Prod/me"), *invalid)
    refused("expired token", me(os.environ["EXPIRED_TOKEN"]), *invalid[:2], "The incoming token has expired")
    response = send("good token", me(good))
    claims = r'{"sub":"[0-9a-f-]{36}","groups":\["loyalty"\],"token_use":"id"}'
    check(response.status_code == 200 and re.fullmatch(claims, response.text), "good token", response.text)


tokens()
main()
print(f"botocore: {checks} checks passed")
