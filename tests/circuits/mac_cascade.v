// Two accumulators of 32 bits that are one of 64: the lower DSP block hands its carry and its sign to the one above. nextpnr has no wires
// for that, so circuits.py gives it the places of the blocks; a simulation gets the wires. nextpnr
// does not know NEG_TRIGGER (NEGATIVE) either: circuits.py sets its bit.
`default_nettype none

module mac_cascade #(parameter SIGNED = 0, NEGATIVE = 0) (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26
);
    reg [4:0] phase = 0;
    wire reset = phase < 8, started = phase[4];
    reg [30:0] noise = 31'h1234567;
    reg [15:0] signature = 0;
    wire [31:0] low, high;
    wire carry, sign;
`ifdef __ICARUS__
    wire carry_above = carry, sign_above = sign;
`else
    wire carry_above = 1'b0, sign_above = 1'b0;
`endif
    always @(posedge ICE_35) begin
        if (!started) phase <= phase + 1;
        noise <= {noise[29:0], noise[30] ^ noise[27]};
        if (started) signature <= {signature[14:0], signature[15] ^ signature[14] ^ signature[12] ^ signature[3]} ^ high[15:0] ^ high[31:16];
    end
    SB_MAC16 #(
        .NEG_TRIGGER(NEGATIVE),
        .TOPOUTPUT_SELECT(2'b01), .TOPADDSUB_LOWERINPUT(2'b10), .TOPADDSUB_CARRYSELECT(2'b10),
        .BOTOUTPUT_SELECT(2'b01), .BOTADDSUB_LOWERINPUT(2'b10), .A_SIGNED(SIGNED), .B_SIGNED(SIGNED)
    ) lower (
        .CLK(ICE_35), .CE(1'b1), .A(noise[15:0]), .B(noise[30:15]), .C(16'b0), .D(16'b0),
        .AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0), .OHOLDTOP(1'b0), .OHOLDBOT(1'b0),
        .IRSTTOP(reset), .IRSTBOT(reset), .ORSTTOP(reset), .ORSTBOT(reset), .OLOADTOP(1'b0), .OLOADBOT(1'b0),
        .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0),
        .O(low), .ACCUMCO(carry), .SIGNEXTOUT(sign)
    );
    SB_MAC16 #(
        .NEG_TRIGGER(NEGATIVE),
        .TOPOUTPUT_SELECT(2'b01), .TOPADDSUB_LOWERINPUT(SIGNED ? 2'b11 : 2'b00), .TOPADDSUB_CARRYSELECT(2'b10),
        .BOTOUTPUT_SELECT(2'b01), .BOTADDSUB_LOWERINPUT(SIGNED ? 2'b11 : 2'b00), .BOTADDSUB_CARRYSELECT(2'b10)
    ) upper (
        .CLK(ICE_35), .CE(1'b1), .A(16'b0), .B(16'b0), .C(16'b0), .D(16'b0),
        .AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0), .OHOLDTOP(1'b0), .OHOLDBOT(1'b0),
        .IRSTTOP(reset), .IRSTBOT(reset), .ORSTTOP(reset), .ORSTBOT(reset), .OLOADTOP(1'b0), .OLOADBOT(1'b0),
        .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0), .CI(1'b0), .ACCUMCI(carry_above), .SIGNEXTIN(sign_above),
        .O(high)
    );
    assign ICE_27 = signature[15];
    assign ICE_25 = high[0];
    assign ICE_26 = low[31] ^ noise[0]; // which tells an edge from the other
endmodule
