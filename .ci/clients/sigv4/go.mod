module github.com/tallygate/tallygate/.ci/clients/sigv4

go 1.26

require github.com/tallygate/tallygate v0.0.0-00010101000000-000000000000

replace github.com/tallygate/tallygate => ../../..
