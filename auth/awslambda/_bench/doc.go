// Package bench compares auth/awslambda with the adapters that Go functions use otherwise, and measures what it adds to
// the start and the size of a program. README.md tells how to run it, and what came out.
package bench
