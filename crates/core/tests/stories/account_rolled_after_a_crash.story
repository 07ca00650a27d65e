# The holder dies in mid-order while the account is to get a new key: its attempt is brought to its end by another, then the account is rolled.
cert example.com
nodes a b c
start all
run 310ms
crash holder
remove c compromised
run 1m
start all
run 1m
expect verified a,b
expect rolled yes
expect safe yes
