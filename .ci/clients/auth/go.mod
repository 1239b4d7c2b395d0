module github.com/tallygate/tallygate/.ci/clients/auth

go 1.26

replace github.com/tallygate/tallygate => ../../..

require (
	github.com/MicahParks/jwkset v0.11.3
	github.com/tallygate/tallygate v0.0.0-00010101000000-000000000000
)

require (
	github.com/MicahParks/keyfunc/v3 v3.8.2 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	golang.org/x/time v0.15.0 // indirect
)
