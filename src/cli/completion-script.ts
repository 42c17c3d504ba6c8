import { COMMAND_WORDS, VALUE_WORDS, type WordKind } from './completion-words.ts';

/** `chip`, or `words rising falling both`: how the scripts call a kind of word. */
function kindText(kind: WordKind): string {
  return typeof kind === 'string' ? kind : `words ${kind.join(' ')}`;
}

/** Branches of a `case` over "COMMAND OPTION", one a kind of value. Shells without a match take the value for anything. */
function valueBranches(indent: string): string {
  const patterns = new Map<string, string[]>();
  for (const [command, { options }] of Object.entries(COMMAND_WORDS)) {
    for (const { long, short, value } of options) {
      if (value === null) continue;
      const ofKind = patterns.get(kindText(value)) ?? [];
      ofKind.push(`'${command} --${long}'`, ...(short === undefined ? [] : [`'${command} -${short}'`]));
      patterns.set(kindText(value), ofKind);
    }
  }
  return [...patterns].map(([kind, names]) => `${indent}${names.join(' | ')}) kind='${kind}' ;;\n`).join('');
}

/** Branches of a `case` over the command: its options and what its arguments are. Options with a value end in `=`. */
function commandBranches(indent: string): string {
  return Object.entries(COMMAND_WORDS)
    .map(([command, { options, argument }]) => {
      const words = options.map(({ long, value }) => `--${long}${value === null ? '' : '='}`).join(' ');
      return `${indent}${command}) options='${words}' argument='${kindText(argument)}' ;;\n`;
    })
    .join('');
}

const COMMANDS = Object.keys(COMMAND_WORDS).join(' ');

/** The completion of bash: to be sourced, or a file of bash-completion's folder. */
export const BASH_SCRIPT = `# Completion of rproc-gpio for bash: source <(rproc-gpio completion bash)

# What an option of a command wants: _rproc_gpio_value COMMAND OPTION
_rproc_gpio_value() {
  local kind=''
  case "$1 $2" in
${valueBranches('    ')}  esac
  printf '%s' "$kind"
}

_rproc_gpio() {
  local line=\${COMP_LINE:0:COMP_POINT} program=\${1/#\\~\\//"$HOME"/}
  local cur='' prev='' command='' options='' argument='' kind='' before='' ending='' socket=() words=() found=() word
  # The line itself: bash has cut its words at every = and :, which names of lines may hold.
  read -a words <<<"$line"
  if [[ $line != *[[:space:]] || $line == *\\\\[[:space:]] ]]; then
    cur=\${words[-1]}
    unset 'words[-1]'
  fi
  ((\${#words[@]} > 1)) && command=\${words[1]} prev=\${words[-1]}
  for word in "\${!words[@]}"; do
    case \${words[word]} in
      --socket=*) socket=("\${words[word]}") ;;
      --socket) socket=("--socket=\${words[word + 1]-}") ;;
    esac
  done
  case $command in
    '') kind='words ${COMMANDS} help --help --version' ;;
${commandBranches('    ')}  esac
  if [[ $cur == --*=* ]]; then
    before=\${cur%%=*}= cur=\${cur#*=}
    kind=$(_rproc_gpio_value "$command" "\${before%=}")
  elif [[ $command ]]; then
    kind=$(_rproc_gpio_value "$command" "$prev")
    if [[ ! $kind && $cur == -* ]]; then
      kind="words $options"
    elif [[ ! $kind ]]; then
      kind=$argument
    fi
  fi
  case $kind in
    file) mapfile -t found < <(compgen -f -- "$cur"); compopt -o filenames 2>/dev/null ;;
    folder) mapfile -t found < <(compgen -d -- "$cur"); compopt -o filenames 2>/dev/null ;;
    chip) mapfile -t found < <("$program" completion --chips "\${socket[@]}" 2>/dev/null) ;;
    line) mapfile -t found < <("$program" completion --lines "\${socket[@]}" 2>/dev/null) ;;
    line-value)
      if [[ $cur == *=* ]]; then
        before=\${cur%=*}= cur=\${cur##*=}
        found=(${VALUE_WORDS.join(' ')})
      else
        mapfile -t found < <("$program" completion --lines "\${socket[@]}" 2>/dev/null)
        ending='='
      fi
      ;;
    'words '*) read -ra found <<<"\${kind#words }" ;;
  esac
  COMPREPLY=()
  # What readline replaces begins behind the last character that it breaks words at.
  local start='' breaks='' character
  for character in : = @; do
    [[ $COMP_WORDBREAKS == *$character* ]] && breaks+=$character
  done
  [[ $breaks && $before$cur == *[$breaks]* ]] && start=$before$cur start=\${start%"\${start##*[$breaks]}"}
  for word in "\${found[@]}"; do
    [[ $word == "$cur"* ]] || continue
    [[ $kind == file || $kind == folder ]] || printf -v word '%q' "$word"
    word=$before$word$ending
    COMPREPLY+=("\${word#"$start"}")
  done
  [[ \${#COMPREPLY[@]} -gt 0 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}

complete -F _rproc_gpio rproc-gpio
`;

/** The completion of zsh: to be sourced, or a file \`_rproc-gpio\` in a folder of \`$fpath\`. */
export const ZSH_SCRIPT = `#compdef rproc-gpio
# Completion of rproc-gpio for zsh: source <(rproc-gpio completion zsh), after compinit

_rproc_gpio_kind() {
  local -a found socket
  local index
  for index in {2..$((CURRENT - 1))}; do
    case \${words[index]} in
      --socket=*) socket=("\${words[index]}") ;;
      --socket) socket=("--socket=\${words[index + 1]}") ;;
    esac
  done
  case $1 in
    file) _files ;;
    folder) _files -/ ;;
    chip)
      found=("\${(@f)$("\${words[1]}" completion --chips "\${socket[@]}" 2>/dev/null)}")
      compadd -a found
      ;;
    line | line-value)
      if [[ $1 == line-value ]] && compset -P '*='; then
        compadd -- ${VALUE_WORDS.join(' ')}
        return
      fi
      found=("\${(@f)$("\${words[1]}" completion --lines "\${socket[@]}" 2>/dev/null)}")
      if [[ $1 == line ]]; then compadd -a found; else compadd -S = -a found; fi
      ;;
    'words '*)
      found=(\${=1#words })
      compadd -S '' -- \${(M)found:#*=}
      compadd -- \${found:#*=}
      ;;
  esac
}

_rproc_gpio_value() {
  kind=''
  case "$1 $2" in
${valueBranches('    ')}  esac
}

_rproc_gpio() {
  local command=\${words[2]} options='' argument='' kind=''
  if ((CURRENT == 2)); then
    _rproc_gpio_kind 'words ${COMMANDS} help --help --version'
    return
  fi
  case $command in
${commandBranches('    ')}  esac
  if [[ $PREFIX == --*=* ]]; then
    _rproc_gpio_value "$command" "\${PREFIX%%=*}"
    compset -P '--[^=]#='
  else
    _rproc_gpio_value "$command" "\${words[CURRENT-1]}"
    if [[ -z $kind && $PREFIX == -* ]]; then
      kind="words $options"
    elif [[ -z $kind ]]; then
      kind=$argument
    fi
  fi
  _rproc_gpio_kind "$kind"
}

if [[ \${funcstack[1]} == _rproc-gpio ]]; then
  _rproc_gpio "$@"
else
  compdef _rproc_gpio rproc-gpio
fi
`;
