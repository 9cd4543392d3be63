const HEAD: &str = "x";
const RULES: &[Rule] = &[
    Rule { name: "none", recorded: true, says: "", holds: |_| false },
];
