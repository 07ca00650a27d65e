# A token for web-* lets nobody in as db-1, and one with fewer roles gives no more of them.
cert example.com
nodes a b
start all
run 1m
invite T for=web-* roles=deploy uses=2
come db-1 with T
come web-1 with T
start db-1,web-1
run 1m
expect members a,b,web-1
forge certs/example.com by web-1 renew_requested_at=2026-01-01T00:00:00Z
run 1m
expect issued 1
expect safe yes
