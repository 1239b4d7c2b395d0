"""Gets credentials by boto3, from the identity pool and from STS, and calls the API with them.

The last part is a program that knows nothing of any of this: its credentials come from boto3's default chain.
"""

import os
import subprocess
import sys
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

BASE, REGION = os.environ["BASE"], "eu-west-1"
POOL = "eu-west-1:177a950c-2c08-43f0-9983-28727534680a"
PROVIDER = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
ACCOUNT = "arn:aws:iam::123456789012:"
SESSION = "arn:aws:sts::123456789012:assumed-role/"
TOKEN, EXPIRED = (open(os.environ[name]).read() for name in ("TOKEN", "EXPIRED"))
checks = 0


def check(what, got, want):
    global checks
    if got != want:
        sys.exit(f"boto3: {what}: got {got!r}, want {want!r}")
    checks += 1


def refused(status, code, text, call, **arguments):
    """Makes a call that must fail with this status, error code and text."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        told = error.response["Error"]
        got = error.response["ResponseMetadata"]["HTTPStatusCode"], told["Code"], told["Message"]
        check(f"{str(arguments)[:120]}", got, (status, code, text))
        return error
    sys.exit(f"boto3: {arguments}: not refused: {answer}")


def calls(what, access, secret, token, want):
    """Signs a call of the API with botocore, and checks the principal that it answers."""
    url = BASE + "/Prod/loyalty/1"
    request = AWSRequest("GET", url)
    SigV4Auth(Credentials(access, secret, token), "execute-api", REGION).add_auth(request)
    with urllib.request.urlopen(urllib.request.Request(url, headers=dict(request.headers))) as answer:
        check(what, answer.read().decode(), want)


def connect(service, path, **settings):
    settings.setdefault("config", Config(retries={"max_attempts": 0}))
    return boto3.client(service, region_name=REGION, endpoint_url=BASE + path, **settings)


def identities():
    for path in ("/pool", "/pool/"):
        pool = connect("cognito-identity", path, config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}))
        for role, logins in (("Member", {PROVIDER: TOKEN}), ("Guest", {})):
            identity = pool.get_id(IdentityPoolId=POOL, Logins=logins)["IdentityId"]
            answer = pool.get_credentials_for_identity(IdentityId=identity, Logins=logins)
            check("identity", answer["IdentityId"], identity)
            given = answer["Credentials"]
            calls("credentials of " + role, given["AccessKeyId"], given["SecretKey"], given["SessionToken"], f"{SESSION}{role}/{identity}")
        member = pool.get_id(IdentityPoolId=POOL, Logins={PROVIDER: TOKEN})["IdentityId"]
        no = 400, "NotAuthorizedException"
        get = pool.get_credentials_for_identity
        error = refused(*no, f"Access to Identity '{member}' is forbidden.", get, IdentityId=member)
        check("class", type(error), pool.exceptions.NotAuthorizedException)
        refused(*no, "Invalid login token. Issuer doesn't match providerName", get, IdentityId=member, Logins={"login.example": TOKEN})
        refused(*no, "Invalid login token. Couldn't verify signed token.", get, IdentityId=member, Logins={PROVIDER: TOKEN[:-4] + "AAAA"})
        refused(400, "ResourceNotFoundException", "IdentityPool 'eu-west-1:0' not found.", pool.get_id, IdentityPoolId="eu-west-1:0")
        refused(400, "InvalidParameterException", "Basic (classic) flow is not enabled, please use enhanced flow.",
                pool.get_open_id_token, IdentityId=member)
        refused(*no, "This identity pool does not support UnlinkIdentity.", pool.unlink_identity, IdentityId=member,
                Logins={PROVIDER: TOKEN}, LoginsToRemove=[PROVIDER])
        try:
            get(IdentityId=member, Logins={PROVIDER: EXPIRED})
            sys.exit("boto3: an expired token is not refused")
        except pool.exceptions.NotAuthorizedException as error:
            check("expired", error.response["Error"]["Message"].startswith("Invalid login token. Token expired: "), True)


def roles():
    for path in ("/sts", "/sts/"):
        sts = connect("sts", path)
        check("caller", sts.get_caller_identity()["Arn"], ACCOUNT + "user/julianwood")
        points = ACCOUNT + "role/Points"
        answer = sts.assume_role(
            RoleArn=points, RoleSessionName="mobile", DurationSeconds=7200, SourceIdentity="julianwood",
            Tags=[{"Key": "team", "Value": "loyalty + more=1"}],
            Policy='{"Statement":{"Effect":"Allow","Action":["execute-api:Invoke","sts:*"],"Resource":"*"}}')
        check("user", answer["AssumedRoleUser"]["Arn"], SESSION + "Points/mobile")
        check("source", answer["SourceIdentity"], "julianwood")
        given = answer["Credentials"]
        keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["SessionToken"]}
        calls("AssumeRole", *keys.values(), SESSION + "Points/mobile")
        chained = connect("sts", path, **keys)
        check("session", chained.get_caller_identity()["UserId"], answer["AssumedRoleUser"]["AssumedRoleId"])
        audit = {"RoleArn": ACCOUNT + "role/Audit", "RoleSessionName": "audit"}
        check("chained", chained.assume_role(**audit)["AssumedRoleUser"]["Arn"], SESSION + "Audit/audit")
        refused(400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
                chained.assume_role, **audit, DurationSeconds=3601)
        no = "User: " + ACCOUNT + "user/julianwood is not authorized to perform: sts:AssumeRole on resource: " + ACCOUNT
        refused(403, "AccessDenied", no + "role/Audit", sts.assume_role, **audit)
        vendor = {"RoleArn": ACCOUNT + "role/Vendor", "RoleSessionName": "mobile"}
        refused(403, "AccessDenied", no + "role/Vendor", sts.assume_role, **vendor)
        check("external id", "Credentials" in sts.assume_role(**vendor, ExternalId="ticket-7"), True)
        error = refused(400, "MalformedPolicyDocument", "Syntax errors in policy.", sts.assume_role, RoleArn=points,
                        RoleSessionName="mobile", Policy="{}")
        check("class", type(error), sts.exceptions.MalformedPolicyDocumentException)
        keys["aws_session_token"] = keys["aws_session_token"][:-4] + "AAAA"
        refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.",
                connect("sts", path, **keys).get_caller_identity)
        refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check "
                "your AWS Secret Access Key and signing method. Consult the service documentation for details.",
                connect("sts", path, aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]).get_caller_identity)

        web = {"RoleArn": points, "RoleSessionName": "mobile"}
        answer = sts.assume_role_with_web_identity(**web, WebIdentityToken=TOKEN)
        check("provider", answer["Provider"], "https://" + PROVIDER)
        given = answer["Credentials"]
        calls("token", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], SESSION + "Points/mobile")
        error = refused(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you "
                        "sent an Access Token)", sts.assume_role_with_web_identity, **web, WebIdentityToken="undefined")
        check("class", type(error), sts.exceptions.InvalidIdentityTokenException)
        refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", sts.assume_role_with_web_identity,
                RoleArn=ACCOUNT + "role/Audit", RoleSessionName="mobile", WebIdentityToken=TOKEN)
        try:
            sts.assume_role_with_web_identity(**web, WebIdentityToken=EXPIRED)
            sys.exit("boto3: an expired token is not refused")
        except sts.exceptions.ExpiredTokenException as error:
            check("expired", error.response["Error"]["Message"].startswith("Token expired: "), True)


PROGRAM = """
import boto3
print(boto3.client("apigateway").get_usage_plans()["items"][0]["name"])
"""


def chain():
    """Runs a program whose environment names the token, the role and the two services."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    told = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=clean | {
        "AWS_ROLE_ARN": ACCOUNT + "role/Points", "AWS_ROLE_SESSION_NAME": "worker", "AWS_DEFAULT_REGION": REGION,
        "AWS_WEB_IDENTITY_TOKEN_FILE": os.environ["TOKEN"], "AWS_ENDPOINT_URL_STS": BASE + "/sts",
        "AWS_ENDPOINT_URL_API_GATEWAY": BASE, "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"})
    check("the default chain", told.stdout.strip(), SESSION + "Points/worker")


identities()
roles()
chain()
print(f"identity: boto3: {checks} checks")
