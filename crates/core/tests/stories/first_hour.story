# Machines ask to be let in before anybody runs. They are in before the account key is made, so that it is nobody's alone: its maker dies at once, and the others go on.
cert example.com
nodes a
invite T for=* uses=2
come b with T
come c with T
crash after create-account-key
start all
run 10s
expect verified b,c
expect members a,b,c
expect issued 1
expect safe yes
