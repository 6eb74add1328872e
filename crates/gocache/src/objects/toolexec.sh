#!/bin/sh
# The program of the go command's -toolexec where archives are whole: a word in the versions of tools, nothing else.
if [ "$2" = -V=full ]; then
  said=$("$@") || exit
  case $said in
    *buildID=*) echo "$said-WORD" ;;
    *) echo "$said WORD" ;;
  esac
else
  exec "$@"
fi
