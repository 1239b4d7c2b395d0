// Package boltstore is an engine for package ledger.
package boltstore
