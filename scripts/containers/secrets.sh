#!/bin/sh
# Makes what docker-compose.yml calls secrets, once: .secrets/, which only its owner can enter. What is there stays.
# The files in it can be read by every user, because containers read them under theirs.
set -eu
cd "$(dirname "$0")/../.."
umask 077
mkdir -p .secrets
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { test -s ".secrets/$1" || cat > ".secrets/$1"; }

random | keep mongodb_root_password
random | keep mongodb_password
random | keep redis_password
random | keep holdfast_secret
head -c 512 /dev/urandom | base64 | tr -d '\n' | keep mongodb_key

mongodb=$(cat .secrets/mongodb_password) redis=$(cat .secrets/redis_password)
uri="mongodb://holdfast:$mongodb@%s/?replicaSet=holdfast&authSource=admin%s"
printf "$uri" mongodb:27017 "&retryWrites=true&w=majority" > .secrets/mongodb_uri
printf "$uri" 127.0.0.1:27017 "&directConnection=true" > .secrets/mongodb_uri_local
printf 'redis://holdfast:%s@redis:6379/0' "$redis" > .secrets/redis_url
printf 'redis://holdfast:%s@127.0.0.1:6379/0' "$redis" > .secrets/redis_url_local
# Everything but what administers the server: nobody who can only reach it may do anything.
printf 'user default off\nuser holdfast on >%s ~* &* +@all -@admin\n' "$redis" > .secrets/redis_users
chmod 444 .secrets/*
