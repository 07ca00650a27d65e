# A node that only deploys writes what it may not: certificates, accounts, others' words, its own roles, a member of its own making.
cert example.com
nodes a b evil=deploy
start all
run 1m
forge certs/example.com by evil renew_requested_at=2026-01-01T00:00:00Z
forge certs/example.com by evil placed.placement.seq=9 placed.placement.generation=9
forge accounts/ca by evil thumbprint=stranger
forge accounts/@key by evil thumbprint=stranger
forge fleet by evil removals=[]
forge nodes/evil by evil granted=["issue","deploy","answer"]
forge nodes/b by evil signing_key=x
forge presence/a by evil state=leaving
forge versions/example.com/1 by evil chain=other
run 2m
expect verified a,b,evil
expect account thumbprint-1
expect issued 1
expect safe yes
