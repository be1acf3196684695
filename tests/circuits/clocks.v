// Two clocks that meet: 10 kHz is sampled by 48 MHz, and counts what 48 MHz has counted.
`default_nettype none

module clocks (
    output wire ICE_27, ICE_25
);
    wire fast, slow;
    SB_HFOSC #(.CLKHF_DIV("0b00")) high (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .CLKHF(fast));
    SB_LFOSC low (.CLKLFPU(1'b1), .CLKLFEN(1'b1), .CLKLF(slow));
    reg [2:0] seen = 0;
    reg [6:0] edges = 0;
    always @(negedge fast) begin
        seen <= {seen[1:0], slow};
        edges <= edges + (seen[1] & ~seen[2]);
    end
    reg [9:0] count = 0;
    always @(posedge fast) count <= count + 1;
    reg [4:0] taken = 0;
    // The rising edges of both coincide now and then, so what is taken changes with the falling one.
    reg held = 0;
    always @(negedge fast) held <= count[9];
    always @(posedge slow) taken <= taken + held;
    assign ICE_27 = edges[3];
    assign ICE_25 = taken[2];
endmodule
