// Package before is package policy as it was before it had conditions, variables and principals, and an index of the
// resources. Its peer is measured in the same run, and must decide the same where both have the language.
package before
