package main

import (
	"fmt"
	"io"
	"net"
	"strings"
)

const customer = "a900ae6c-99b9-4112-9677-b66fe79d792c"

// help is what the program prints: the tutorial's requests as commands to paste, with their answers. helpKeys are those
// that need the keys and the plan that -empty leaves out.
const help = `Loyalty API on {{base}}

A signature from curl (7.75 or later):
  SIGN=(--aws-sigv4 aws:amz:{{region}}:execute-api --user {{access}}:{{secret}})

Without a signature: 403 {"message":"Missing Authentication Token"}
  curl -i {{base}}/Prod/loyalty/{{customer}}
Signed, without an API key: 403 {"message":"Forbidden"}
  curl -i "${SIGN[@]}" {{base}}/Prod/loyalty/{{customer}}
`

const helpKeys = `Signed, with a disabled API key: 403 {"message":"Forbidden"}
  curl -i "${SIGN[@]}" -H 'x-api-key: {{retired}}' {{base}}/Prod/loyalty/{{customer}}
Signed, with the API key: 200 {"points":900,"level":"bronze","remainingPoints":49100}
  KEY='x-api-key: {{key}}'
  curl -i "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}
Faster than 1 request per second and a burst of 2: 429 {"message":"Too Many Requests"}
  for i in 1 2 3 4; do curl -s "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}; echo; done
More than 10 requests on one day: 429 {"message":"Limit Exceeded"}
  for i in {1..11}; do curl -s "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}; echo; sleep 1; done
What the key's holder has left: 200 {"plan":"RestrictUsage",…,"limit":10,"used":…,"remaining":…,"reset":"…"}
  curl -i -H "$KEY" {{base}}/Prod/usage
`

// helpControl are the owner's commands: for the rate rule's list, for the page, and for the control plane, from nothing
// to the tutorial's answers and back.
const helpControl = `
The owner signs with a key of its own:
  OWNER=(--aws-sigv4 aws:amz:{{region}}:execute-api --user {{ownerAccess}}:{{ownerSecret}})
The addresses that sent 2000 requests within five minutes and are blocked with 403 {"message":"Forbidden"}: 200 []
  curl -i "${OWNER[@]}" {{base}}/owner/limited
The owner's page, for a browser. The link opens it once, within ten minutes:
  {{link}}
Another link: 201 {"link":"…"}
  curl -i "${OWNER[@]}" -X POST {{base}}/owner/link

The owner's control plane, by aws-cli:
  export AWS_ACCESS_KEY_ID={{ownerAccess}} AWS_SECRET_ACCESS_KEY={{ownerSecret}} AWS_DEFAULT_REGION={{region}} AWS_DEFAULT_OUTPUT=json
  gw() { aws apigateway --endpoint-url {{control}} "$@"; }
  api() { curl -s -w ' %{http_code}\n' "${SIGN[@]}" -H "x-api-key: $VALUE" {{base}}/{{stage}}/loyalty/{{customer}}; }
  TODAY=$(date -u +%F)
The APIs and their stages:
  gw get-rest-apis; gw get-stages --rest-api-id {{api}}
A plan of 1 request per second, a burst of 2, 10 a day:
  PLAN=$(gw create-usage-plan --name RestrictUsage --throttle rateLimit=1,burstLimit=2 --quota limit=10,offset=0,period=DAY --query id --output text)
  gw update-usage-plan --usage-plan-id $PLAN --patch-operations op=add,path=/apiStages,value={{api}}:{{stage}}
A key. Its value is shown now{{again}}:
  read -r KEYID VALUE < <(gw create-api-key --name partner --enabled --query '[id,value]' --output text)
Before the key is in the plan: {"message":"Forbidden"} 403
  api
  gw create-usage-plan-key --usage-plan-id $PLAN --key-id $KEYID --key-type API_KEY
Two pass, then {"message":"Too Many Requests"} 429
  for i in 1 2 3 4 5; do api; done
Eight pass, then {"message":"Limit Exceeded"} 429
  for i in {1..9}; do sleep 1.1; api; done
What was used and is left by day: [[10,0]]; after an extension: [[10,5]]
  gw get-usage --usage-plan-id $PLAN --key-id $KEYID --start-date $TODAY --end-date $TODAY
  gw update-usage --usage-plan-id $PLAN --key-id $KEYID --patch-operations op=replace,path=/remaining,value=5
The key is disabled, refused with 403, and enabled again:
  gw update-api-key --api-key $KEYID --patch-operations op=replace,path=/enabled,value=false; api
  gw update-api-key --api-key $KEYID --patch-operations op=replace,path=/enabled,value=true; api
All of it is removed:
  gw delete-usage-plan-key --usage-plan-id $PLAN --key-id $KEYID
  gw update-usage-plan --usage-plan-id $PLAN --patch-operations op=remove,path=/apiStages,value={{api}}:{{stage}}
  gw delete-usage-plan --usage-plan-id $PLAN; gw delete-api-key --api-key $KEYID
`

// helpDemo are the requests of users of the demo pool: of one who signs up, and of one who has signed in.
const helpDemo = `
A user signs up in the demo pool {{pool}}, by aws-cli. The code that Cognito would send is at …/mail/:
  idp() { AWS_ACCESS_KEY_ID={{ownerAccess}} AWS_SECRET_ACCESS_KEY={{ownerSecret}} aws cognito-idp --endpoint-url {{base}} --region {{region}} --output text "$@"; }
  FERRY=(--client-id {{client}} --username ferry)
  idp sign-up "${FERRY[@]}" --password Correct-horse-9 --user-attributes Name=email,Value=ferry@example.com
  idp confirm-sign-up "${FERRY[@]}" --confirmation-code "$(curl -s {{base}}/{{pool}}/mail/ferry)"
The administrator of the pool adds the user to a group:
  idp admin-add-user-to-group --user-pool-id {{pool}} --username ferry --group-name loyalty
The user signs in and calls: 200 {"sub":"…","groups":["loyalty"],"token_use":"id"}
  TOKEN=$(idp initiate-auth --auth-flow USER_PASSWORD_AUTH --client-id {{client}} --auth-parameters USERNAME=ferry,PASSWORD=Correct-horse-9 --query AuthenticationResult.IdToken)
  curl -i -H "Authorization: Bearer $TOKEN" {{base}}/Prod/me

A user of the demo pool {{pool}}, signed in: 200 {"sub":"…","groups":["loyalty"],"token_use":"id"}
  curl -i -H 'Authorization: Bearer {{valid}}' {{base}}/Prod/me
With a token that has expired: 401 {"message":"The incoming token has expired"}
  curl -i -H 'Authorization: Bearer {{expired}}' {{base}}/Prod/me
Without a token: 401 {"message":"Unauthorized"}
  curl -i {{base}}/Prod/me
`

const helpPool = `
A user of {{issuer}}, signed in: 200 {"sub":"…","groups":[…],"token_use":"…"}
  curl -i -H "Authorization: Bearer $TOKEN" {{base}}/Prod/me
`

// helpMember are the requests of a user who exchanges the token above for temporary credentials.
const helpMember = `
The user exchanges the token for temporary credentials of the role Member, by aws-cli:
  pool() { aws cognito-identity --endpoint-url {{base}}/identities --region {{region}} --output text "$@"; }
  LOGINS={{provider}}=$TOKEN
  IDENTITY=$(pool get-id --identity-pool-id {{identities}} --logins "$LOGINS" --query IdentityId)
  read -r ID SECRET SESSION < <(pool get-credentials-for-identity --identity-id "$IDENTITY" --logins "$LOGINS" --query 'Credentials.[AccessKeyId,SecretKey,SessionToken]')
The policy of the role allows GET /loyalty/*: 200 {"points":900,"level":"bronze","remainingPoints":49100}
  KEY='x-api-key: {{key}}'
  curl -i --aws-sigv4 aws:amz:{{region}}:execute-api --user "$ID:$SECRET" -H "x-amz-security-token: $SESSION" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}
`

// printHelp prints the requests for the API at the listener and the control plane, and the link to the owner's page.
func printHelp(out io.Writer, api net.Listener, o options, t tokens, link string) error {
	keys, users, member, again := helpKeys, helpPool, helpMember, ""
	if o.empty {
		keys, member = "", ""
	}
	if o.issuer == "" {
		users = helpDemo
	}
	if !o.seal {
		again = " and never again; -seal keeps it"
	}
	_, err := strings.NewReplacer(
		"{{base}}", "http://"+api.Addr().String(), "{{control}}", "http://"+o.admin, "{{link}}", link,
		"{{region}}", o.region, "{{api}}", o.stages[0].API, "/Prod/", "/"+o.stages[0].Name+"/",
		"{{stage}}", o.stages[0].Name, "{{customer}}", customer, "{{again}}", again,
		"{{access}}", accessKey, "{{secret}}", secretKey, "{{key}}", apiKey, "{{retired}}", retiredKey,
		"{{ownerAccess}}", o.access, "{{ownerSecret}}", string(o.secret),
		"{{identities}}", o.identityPool(), "{{provider}}", o.provider(),
		"{{pool}}", demoPool, "{{client}}", demoClient, "{{issuer}}", o.issuer, "{{valid}}", t.valid, "{{expired}}", t.expired,
	).WriteString(out, help+keys+helpControl+users+member)
	if err != nil {
		return fmt.Errorf("print the help: %w", err)
	}
	return nil
}
