// Package filelock takes the lock of a file, which one opener has at a time: in this process or in another.
package filelock
