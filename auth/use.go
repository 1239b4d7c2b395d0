package auth

// keycloakUses are the values of the claim typ by which Keycloak marks its tokens (org.keycloak.util.TokenUtil). What
// is neither an ID nor an access token has a word of its own, so that it contradicts any other mark. Other issuers use
// the claim as they like; their values mark nothing.
var keycloakUses = map[string]string{
	"Bearer": "access", "DPoP": "access", "ID": "id",
	"Refresh": "refresh", "Offline": "refresh", "Logout": "logout", "Serialized-ID": "session",
}

// mark settles the token's use, which until then is the claim token_use. A use counts only if no other mark of the
// token says otherwise. That a claim is there which only one kind of token usually has, such as nonce or at_hash, is
// no mark: access tokens may have it too.
func (t *Token) mark(h header, cognito bool) {
	marks := [...]string{t.use, keycloakUses[t.typ], ""}
	if cognito { // token_use is the only mark, whatever claims a Lambda trigger has added
		marks[1] = ""
	}
	if h.typ == "at+jwt" {
		marks[2] = "access" // RFC 9068 section 2.1
	}
	t.use = ""
	for _, mark := range marks {
		if t.use == "" {
			t.use = mark
		} else if mark != "" && mark != t.use {
			t.use = ""
			return
		}
	}
	if t.use != "id" && t.use != "access" {
		t.use = ""
	}
}
