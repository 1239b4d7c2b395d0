"""Drives the demo pool with boto3: sign-up, sign-in by password, calls, refresh, revocation, the administrator's users."""

import json
import os
import sys
import urllib.error
import urllib.request

import boto3

BASE, POOL, CLIENT = os.environ["BASE"], os.environ["POOL"], os.environ["CLIENT"]
NAME, PASSWORD, OTHER = "boto@example.com", "Correct-horse-9", "Battery-staple-7"

idp = boto3.client(
    "cognito-idp", region_name="eu-west-1", endpoint_url=BASE, aws_access_key_id="AKIDANYONE", aws_secret_access_key="x"
)
checks = 0


def check(what, got, want):
    global checks
    if got != want:
        sys.exit(f"boto3: {what}: got {got!r}\nwant {want!r}")
    checks += 1


def refused(what, kind, text, call, **parameters):
    """Checks that a call fails with an exception of boto3's model, and its text."""
    try:
        got = call(**parameters)
    except getattr(idp.exceptions, kind) as e:
        check(what, e.response["Error"]["Message"], text)
        check(what, e.response["ResponseMetadata"]["HTTPStatusCode"], 400)
    else:
        sys.exit(f"boto3: {what}: not refused: {got}")


def mail(name):
    """Returns what Cognito would have sent to a user."""
    with urllib.request.urlopen(f"{BASE}/{POOL}/mail/{name}", timeout=10) as res:
        return res.read().decode().strip()


def me(token):
    """Calls the API and returns the status and the answer."""
    request = urllib.request.Request(BASE + "/Prod/me", headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, timeout=10) as res:
            return res.status, json.load(res)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def sign_in(name, password):
    return idp.initiate_auth(
        ClientId=CLIENT, AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": name, "PASSWORD": password}
    )


def refresh(token):
    return idp.initiate_auth(ClientId=CLIENT, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": token})


def users():
    """A user signs up, signs in, calls, refreshes, and signs out everywhere."""
    user = {"ClientId": CLIENT, "Username": NAME}
    attributes = [{"Name": "email", "Value": NAME}, {"Name": "custom:tier", "Value": "gold"}]
    refused(
        "a weak password",
        "InvalidPasswordException",
        "Password did not conform with policy: Password must have symbol characters",
        idp.sign_up,
        **user,
        Password="Correcthorse9",
    )
    signed_up = idp.sign_up(**user, Password=PASSWORD, UserAttributes=attributes)
    check("confirmed", signed_up["UserConfirmed"], False)
    check("the medium", signed_up["CodeDeliveryDetails"]["DeliveryMedium"], "EMAIL")
    refused("a second user", "UsernameExistsException", "User already exists", idp.sign_up, **user, Password=PASSWORD)
    refused("before the code", "UserNotConfirmedException", "User is not confirmed.", sign_in, name=NAME, password=PASSWORD)
    text = "Invalid verification code provided, please try again."
    refused("a wrong code", "CodeMismatchException", text, idp.confirm_sign_up, **user, ConfirmationCode="none")
    old = mail(NAME)
    check("six digits", (len(old), old.isdigit()), (6, True))
    idp.resend_confirmation_code(**user)
    idp.confirm_sign_up(**user, ConfirmationCode=mail(NAME))
    check("the code is used", mail(NAME), "")
    refused("a confirmed user", "InvalidParameterException", "User is already confirmed.", idp.resend_confirmation_code, **user)

    wrong = "Incorrect username or password."
    refused("a wrong password", "NotAuthorizedException", wrong, sign_in, name=NAME, password=OTHER)
    refused("no such user", "NotAuthorizedException", wrong, sign_in, name="nobody", password=PASSWORD)
    first = sign_in(NAME, PASSWORD)["AuthenticationResult"]
    check("the type", (first["TokenType"], first["ExpiresIn"]), ("Bearer", 3600))
    for use, token in (("id", first["IdToken"]), ("access", first["AccessToken"])):
        check("a call", me(token), (200, {"sub": signed_up["UserSub"], "groups": [], "token_use": use}))
    check("a refresh token is for the pool", me(first["RefreshToken"])[0], 401)
    got = {a["Name"]: a["Value"] for a in idp.get_user(AccessToken=first["AccessToken"])["UserAttributes"]}
    want = {"sub": signed_up["UserSub"], "email": NAME, "email_verified": "true", "custom:tier": "gold"}
    check("attributes", got, want)

    idp.admin_add_user_to_group(UserPoolId=POOL, Username=NAME, GroupName="loyalty")
    for given in (refresh(first["RefreshToken"]), idp.get_tokens_from_refresh_token(ClientId=CLIENT, RefreshToken=first["RefreshToken"])):
        result = given["AuthenticationResult"]
        check("no new refresh token", "RefreshToken" in result, False)
        check("groups after a refresh", me(result["IdToken"])[1]["groups"], ["loyalty"])

    second = sign_in(NAME, PASSWORD)["AuthenticationResult"]
    idp.revoke_token(ClientId=CLIENT, Token=first["RefreshToken"])
    revoked = "Refresh Token has been revoked"
    refused("a revoked token", "NotAuthorizedException", revoked, refresh, token=first["RefreshToken"])
    text = "Only refresh tokens of this pool can be revoked."
    token = second["AccessToken"]
    refused("an access token", "UnsupportedTokenTypeException", text, idp.revoke_token, ClientId=CLIENT, Token=token)
    check("another sign-in goes on", idp.get_user(AccessToken=token)["Username"], NAME)
    idp.global_sign_out(AccessToken=token)
    refused("signed out", "NotAuthorizedException", "Access Token has been revoked", idp.get_user, AccessToken=token)
    refused("signed out", "NotAuthorizedException", revoked, refresh, token=second["RefreshToken"])
    check("the API does not notice", me(token)[0], 200)


def administrator():
    """The administrator creates a user, who must choose a password."""
    name = "boto-admin"
    made = idp.admin_create_user(UserPoolId=POOL, Username=name, UserAttributes=[{"Name": "email_verified", "Value": "true"}])
    check("the status", made["User"]["UserStatus"], "FORCE_CHANGE_PASSWORD")
    check("the year", made["User"]["UserCreateDate"].year >= 2026, True)
    exists = "User account already exists"
    refused("a second user", "UsernameExistsException", exists, idp.admin_create_user, UserPoolId=POOL, Username=name)
    other = POOL[:-1] + "x"
    text = f"User pool {other} does not exist."
    refused("another pool", "ResourceNotFoundException", text, idp.admin_create_user, UserPoolId=other, Username=name)
    challenge = sign_in(name, mail(name))
    check("the challenge", challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED")
    answer = {
        "ClientId": CLIENT,
        "ChallengeName": "NEW_PASSWORD_REQUIRED",
        "Session": challenge["Session"],
        "ChallengeResponses": {"USERNAME": name, "NEW_PASSWORD": OTHER, "userAttributes.email": "a@example.com"},
    }
    token = idp.respond_to_auth_challenge(**answer)["AuthenticationResult"]["AccessToken"]
    check("a call", me(token)[0], 200)
    text = "Invalid session for the user."
    refused("the session twice", "NotAuthorizedException", text, idp.respond_to_auth_challenge, **answer)
    sign_in(name, OTHER)


users()
administrator()
print(f"pool, boto3: {checks} checks passed")
