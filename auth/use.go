package auth

// keycloakUses are the values of the claim typ by which Keycloak marks its tokens (org.keycloak.util.TokenUtil). Other
// kinds of tokens have values of their own here, so that they contradict a mark as ID or access token. Other issuers
// use the claim typ for anything; their values are not marks.
var keycloakUses = map[string]string{
	"Bearer": "access", "DPoP": "access", "ID": "id",
	"Refresh": "refresh", "Offline": "refresh", "Logout": "logout", "Serialized-ID": "session",
}

// mark sets the token's use from its marks. If two marks contradict each other, the use is empty. A claim that usually
// only one kind of token has, such as nonce or at_hash, is not a mark, because access tokens may have it too.
//
// Example: a token with token_use "id" and the header typ at+jwt has no use. A rule that demands ID tokens refuses it,
// and so does one that demands access tokens.
func (t *claimSet) mark(h header, cognito bool) {
	marks := [...]string{t.tokenUse, keycloakUses[t.typ], ""}
	if cognito { // token_use is the only mark, whatever claims a Lambda trigger has added
		marks[1] = ""
	}
	if h.typ == "at+jwt" {
		marks[2] = "access" // RFC 9068 section 2.1
	}
	t.Use = ""
	for _, mark := range marks {
		if t.Use == "" {
			t.Use = mark
		} else if mark != "" && mark != t.Use {
			t.Use = ""
			return
		}
	}
	if t.Use != "id" && t.Use != "access" { // a refresh token, for example, is neither
		t.Use = ""
	}
}
