module github.com/tallygate/tallygate/.ci/clients/policy

go 1.26

require github.com/tallygate/tallygate v0.0.0

replace github.com/tallygate/tallygate => ../../..
