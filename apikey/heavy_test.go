package apikey_test

import "os"

// heavy asks for the full counts; without it tests take a tenth.
var heavy = os.Getenv("TALLYGATE_HEAVY") != ""
