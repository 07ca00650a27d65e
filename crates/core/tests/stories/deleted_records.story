# Records that are never removed are taken away: those who know them write them again, and nothing is done twice.
cert example.com
nodes a b
start all
run 1m
invite T for=web-* roles=deploy uses=1
come web-1 with T
start web-1
run 1m
store delete certs/example.com
store delete accounts/ca
store delete accounts/@key
store delete invitations/T
store delete fleet
store delete nodes/a
run 1m
come web-2 with T
start web-2
run 1m
expect members a,b,web-1
expect verified a,b,web-1
expect account thumbprint-1
expect issued 1
expect safe yes
