package main

import (
	"fmt"
	"io"
	"strings"
)

const customer = "a900ae6c-99b9-4112-9677-b66fe79d792c"

// help is what the program prints: the tutorial's requests as commands to paste, with their answers.
const help = `Loyalty API on {{base}}

A signature from curl (7.75 or later):
  SIGN=(--aws-sigv4 aws:amz:{{region}}:execute-api --user {{access}}:{{secret}})
  KEY='x-api-key: {{key}}'

Without a signature: 403 {"message":"Missing Authentication Token"}
  curl -i {{base}}/Prod/loyalty/{{customer}}
Signed, without an API key: 403 {"message":"Forbidden"}
  curl -i "${SIGN[@]}" {{base}}/Prod/loyalty/{{customer}}
Signed, with a disabled API key: 403 {"message":"Forbidden"}
  curl -i "${SIGN[@]}" -H 'x-api-key: {{retired}}' {{base}}/Prod/loyalty/{{customer}}
Signed, with the API key: 200 {"points":900,"level":"bronze","remainingPoints":49100}
  curl -i "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}
Faster than 1 request per second and a burst of 2: 429 {"message":"Too Many Requests"}
  for i in 1 2 3 4; do curl -s "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}; echo; done
More than 10 requests on one day: 429 {"message":"Limit Exceeded"}
  for i in {1..11}; do curl -s "${SIGN[@]}" -H "$KEY" {{base}}/Prod/loyalty/{{customer}}; echo; sleep 1; done
What the key's holder has left: 200 {"plan":"RestrictUsage",…,"limit":10,"used":…,"remaining":…,"reset":"…"}
  curl -i -H "$KEY" {{base}}/Prod/usage

The owner signs with a key of its own:
  OWNER=(--aws-sigv4 aws:amz:{{region}}:execute-api --user {{ownerAccess}}:{{ownerSecret}})
The usage of a key by day: 200 [{"day":"…","used":10,"remaining":0}]
  curl -i "${OWNER[@]}" {{base}}/owner/{{plan}}/{{keyID}}/usage
A temporary extension: 200 {"limit":15,"remaining":5,"used":10}
  curl -i "${OWNER[@]}" -H 'Content-Type: application/json' -d '{"delta":5,"reason":"launch week"}' {{base}}/owner/{{plan}}/{{keyID}}/extension
The addresses that sent 2000 requests within five minutes and are blocked with 403 {"message":"Forbidden"}: 200 []
  curl -i "${OWNER[@]}" {{base}}/owner/limited
`

const helpDemo = `
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

// printHelp prints the requests for the API at base.
func printHelp(out io.Writer, base string, o options, t tokens) error {
	text := help + helpPool
	if o.issuer == "" {
		text = help + helpDemo
	}
	_, err := strings.NewReplacer(
		"{{base}}", base, "{{region}}", region, "{{customer}}", customer,
		"{{access}}", accessKey, "{{secret}}", secretKey, "{{key}}", apiKey, "{{retired}}", retiredKey,
		"{{ownerAccess}}", ownerAccessKey, "{{ownerSecret}}", ownerSecretKey, "{{plan}}", planID, "{{keyID}}", apiKeyID,
		"{{pool}}", demoPool, "{{issuer}}", o.issuer, "{{valid}}", t.valid, "{{expired}}", t.expired,
	).WriteString(out, text)
	if err != nil {
		return fmt.Errorf("print the help: %w", err)
	}
	return nil
}
