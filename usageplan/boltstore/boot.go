package boltstore

// bootID is replaced by tests, which cannot reboot.
var bootID = systemBootID
