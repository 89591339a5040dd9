# What nixpkgs' runCommand, writeText and escapeShellArg are used for.
{ debian }:
rec {
  busybox = "${debian}/usr/bin/busybox";

  # run NAME ATTRS SCRIPT: a derivation whose builder is a busybox shell, the
  # one static program there is. Each of ATTRS is an environment variable;
  # those named in `passAsFile` are files, their paths in `NAMEPath`.
  run =
    name: attrs: script:
    derivation (
      {
        inherit name busybox debian;
        system = builtins.currentSystem;
        builder = busybox;
        # The script goes in a file: an argument is limited to 128 KiB.
        args = [ "sh" "-euc" "PATH=/none exec $busybox sh -eu \"$scriptPath\"" ];
        inherit script;
        passAsFile = [ "script" ] ++ (attrs.passAsFile or [ ]);
      }
      // builtins.removeAttrs attrs [ "passAsFile" ]
    );

  # tree NAME FILES SCRIPT: a folder of files given as { "path/in/it" = text; }
  # or { "path" = { link = target; }; } or { "path" = { text = …; mode = "755"; }; },
  # then SCRIPT with $out as working directory. One store path, however many
  # files: in a sandbox each input costs a mount.
  tree =
    name: files: script:
    let
      paths = builtins.attrNames files;
      entries = builtins.genList (
        i:
        let
          path = builtins.elemAt paths i;
          value = files.${path};
        in
        {
          inherit path;
          key = "file${toString i}";
          file = if builtins.isString value then { text = value; } else value;
        }
      ) (builtins.length paths);
      texts = builtins.filter (entry: entry.file ? text) entries;
      place =
        entry:
        let
          path = escape entry.path;
        in
        ''
          mkdir -p "$(dirname ${path})"
        ''
        + (
          if entry.file ? link then
            "ln -s ${escape entry.file.link} ${path}\n"
          else
            ''
              cp "''$${entry.key}Path" ${path}
              chmod ${entry.file.mode or "644"} ${path}
            ''
        );
    in
    run name
      (
        builtins.listToAttrs (
          map (entry: {
            name = entry.key;
            value = entry.file.text;
          }) texts
        )
        // {
          passAsFile = map (entry: entry.key) texts;
        }
      )
      ''
        mkdir -p $out
        cd $out
        ${builtins.concatStringsSep "" (map place entries)}
        ${script}
      '';

  # escape S: S as one word of a shell. Left bare when it needs no quotes.
  escape =
    word:
    let
      text = toString word;
    in
    if builtins.match "[a-zA-Z0-9,._+:@%/-]+" text != null then
      text
    else
      "'" + builtins.replaceStrings [ "'" ] [ "'\\''" ] text + "'";

  escapeAll = words: builtins.concatStringsSep " " (map escape words);

  # fill FILE { name = value; }: FILE's text with each @name@ replaced.
  fill =
    file: values:
    let
      names = builtins.attrNames values;
    in
    builtins.replaceStrings (map (name: "@${name}@") names) (
      map (name: toString values.${name}) names
    ) (builtins.readFile file);
}
