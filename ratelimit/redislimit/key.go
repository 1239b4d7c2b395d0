package redislimit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// places is how many hash tags there are. All buckets of a group have the same tag, so a Cluster keeps them in one
// slot, and one script can take from all of them. On a Cluster, the groups of one tag share the call that is under way.
// Fewer tags would spread the load unevenly over the servers, and more would put fewer requests into a call.
const places = 256

// place returns the number of the tag of a group: the first byte of its digest.
func place(group string) byte { return sha256.Sum256([]byte(group))[0] }

// tagged returns the beginning of a key with a hash tag. A Cluster computes the slot from what is between the braces
// alone (the cluster specification, "Hash tags").
func tagged(namespace string, place byte) string {
	return namespace + ":{" + hex.EncodeToString([]byte{place}) + "}:"
}

// keyName is the name of a bucket on the server. It has a digest in place of the names, because the name of a client
// may be long. The digest is the first half of SHA-256. To find two names that share a bucket would take about 2^64
// tries.
func keyName(namespace, group, name string) string {
	text := binary.AppendUvarint(nil, uint64(len(group))) // so that "a", "bc" is not "ab", "c"
	text = append(append(text, group...), name...)
	digest := sha256.Sum256(text)
	return tagged(namespace, place(group)) + hex.EncodeToString(digest[:16])
}

// probeName is the name of the bucket that probes use. No other bucket has it, because a digest in hexadecimal has no
// such letters.
func probeName(namespace string, place byte) string { return tagged(namespace, place) + "probe" }
