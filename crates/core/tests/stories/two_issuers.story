# Two CAs take turns as attempts fail.
issuer spare
cert example.com issuers=ca,spare
nodes a b c
start all
ca fails
run 3m
expect issued 1
expect failures 0
expect verified all
