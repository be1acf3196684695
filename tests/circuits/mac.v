// Eight DSP blocks, each with settings of its own and inputs that change at every clock. A signature of 32 bits takes all outputs in, so
// that one wrong bit changes all that follows. CONFIGS has 25 bits for each block, in the order of Lattice's CBIT[24:0]. circuits.py
// gives blocks their places: each hands its carry and its sign to the one above it. nextpnr has no wires for that; a simulation gets them here.
`default_nettype none

module mac_block #(parameter [24:0] CONFIG = 0) (
    input wire clock, reset, carry, carry_below, sign_below,
    input wire [63:0] data,
    input wire [17:0] control,
    output wire [31:0] out,
    output wire carry_out, carry_above, sign_above
);
`ifdef __ICARUS__
    wire carry_chain = carry_below, sign_chain = sign_below;
`else
    wire carry_chain = 1'b0, sign_chain = 1'b0;
`endif
    SB_MAC16 #(
        .C_REG(CONFIG[0]), .A_REG(CONFIG[1]), .B_REG(CONFIG[2]), .D_REG(CONFIG[3]),
        .TOP_8x8_MULT_REG(CONFIG[4]), .BOT_8x8_MULT_REG(CONFIG[5]),
        .PIPELINE_16x16_MULT_REG1(CONFIG[6]), .PIPELINE_16x16_MULT_REG2(CONFIG[7]),
        .TOPOUTPUT_SELECT(CONFIG[9:8]), .TOPADDSUB_LOWERINPUT(CONFIG[11:10]), .TOPADDSUB_UPPERINPUT(CONFIG[12]),
        .TOPADDSUB_CARRYSELECT(CONFIG[14:13]),
        .BOTOUTPUT_SELECT(CONFIG[16:15]), .BOTADDSUB_LOWERINPUT(CONFIG[18:17]), .BOTADDSUB_UPPERINPUT(CONFIG[19]),
        .BOTADDSUB_CARRYSELECT(CONFIG[21:20]),
        .MODE_8x8(CONFIG[22]), .A_SIGNED(CONFIG[23]), .B_SIGNED(CONFIG[24])
    ) block (
        .CLK(clock), .CE(reset | control[0] | control[1]),
        .A(data[15:0]), .B(data[31:16]), .C(data[47:32]), .D(data[63:48]),
        .AHOLD(control[2]), .BHOLD(control[3]), .CHOLD(control[4]), .DHOLD(control[5]),
        .OHOLDTOP(control[6]), .OHOLDBOT(control[7]),
        .IRSTTOP(reset | &control[11:8]), .IRSTBOT(reset | &control[12:9]),
        .ORSTTOP(reset | &control[13:10]), .ORSTBOT(reset | &control[14:11]),
        .OLOADTOP(&control[14:12]), .OLOADBOT(&control[15:13]),
        .ADDSUBTOP(control[16]), .ADDSUBBOT(control[17]),
        .CI(carry), .ACCUMCI(carry_chain), .SIGNEXTIN(sign_chain),
        .O(out), .CO(carry_out), .ACCUMCO(carry_above), .SIGNEXTOUT(sign_above)
    );
endmodule

module mac #(parameter [199:0] CONFIGS = 0) (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23
);
    reg [4:0] phase = 0;
    wire reset = phase < 8, started = phase[4];
    reg [88:0] noise = 89'h1234567_89abcdef_0011;
    reg [31:0] signature = 0;
    wire [255:0] outs;
    wire [7:0] carries, carry_chain, sign_chain;
    wire [31:0] folded = outs[31:0] ^ {outs[62:32], outs[63]} ^ {outs[93:64], outs[95:94]} ^ {outs[124:96], outs[127:125]} ^
        {outs[155:128], outs[159:156]} ^ {outs[186:160], outs[191:187]} ^ {outs[217:192], outs[223:218]} ^
        {outs[248:224], outs[255:249]};
    always @(posedge ICE_35) begin
        if (!started) phase <= phase + 1;
        noise <= {noise[81:0], noise[88:82] ^ noise[50:44]};
        if (started) signature <= {signature[30:0], signature[31] ^ signature[21] ^ signature[1] ^ signature[0]} ^ folded ^
            (carries & 8'b11011111); // the carry of the sixth block does not leave it: nextpnr issue 1027
    end
    genvar i;
    generate
        for (i = 0; i < 8; i = i + 1) begin : blocks
            wire [88:0] turned = {noise, noise} >> (11 * i);
            mac_block #(.CONFIG(CONFIGS[25 * i +: 25])) block (
                .carry_below(i % 4 == 0 ? 1'b0 : carry_chain[(i + 7) % 8]), .sign_below(i % 4 == 0 ? 1'b0 : sign_chain[(i + 7) % 8]),
                .carry_above(carry_chain[i]), .sign_above(sign_chain[i]),
                .clock(ICE_35), .reset(reset), .carry(turned[88]), .data(turned[63:0]), .control(turned[81:64]),
                .out(outs[32 * i +: 32]), .carry_out(carries[i])
            );
        end
    endgenerate
    assign ICE_27 = signature[31];
    assign ICE_25 = signature[0];
    assign ICE_26 = carries[2];
    assign ICE_23 = outs[15];
endmodule
