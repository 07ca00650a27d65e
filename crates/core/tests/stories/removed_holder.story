# The holder is removed in mid-attempt: another goes on, and what the removed one writes later is put right.
cert example.com
nodes a b c
start all
run 300ms
remove b
run 1m
expect member b no
expect verified a,c
expect issued 1
forge certs/example.com by b placed.placement.seq=9 placed.placement.generation=9
forge accounts/ca by b url=https://evil.test/
run 1m
expect verified a,c
expect generation 1
expect safe yes
