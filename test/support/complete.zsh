# Completes a line as a person at a terminal would; prints the words that the program then gets.
# zsh -f complete.zsh FOLDER_OF_COMPLETION LINE
zmodload zsh/zpty
zpty shell 'TERM=dumb PS1= zsh -f -i'
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; metahub() { print -r -- 'WORDS:' \$* :END }; print RE''ADY"
zpty -r shell output '*READY*'
zpty -w shell "$2"$'\t'
zpty -r shell output '*WORDS: * :END*'
print -r -- ${${output##*WORDS: }%% :END*}
