// Shift registers with each kind of flip-flop: enable, reset and set, with the clock and without, both edges.
`default_nettype none

module registers (
    input wire ICE_35,
    output wire ICE_27, ICE_25, ICE_26, ICE_23, ICE_2, ICE_3
);
    reg [15:0] noise = 0;
    always @(posedge ICE_35) noise <= {noise[14:0], ~(noise[15] ^ noise[14] ^ noise[12] ^ noise[3])};
    wire enable = noise[5], reset = &noise[9:7], data = noise[0];

    reg [5:0] plain = 0;
    always @(posedge ICE_35) if (enable) plain <= {plain[4:0], data};

    reg [5:0] cleared = 0;
    always @(posedge ICE_35) if (reset) cleared <= 0; else if (enable) cleared <= {cleared[4:0], data};

    reg [5:0] gated = 0;
    always @(posedge ICE_35) if (enable) begin if (reset) gated <= 6'h3f; else gated <= {gated[4:0], data}; end

    // The reset changes with the clock's other edge, so that no two things happen at once.
    reg late = 0;
    always @(negedge ICE_35) late <= reset;
    reg [5:0] asynchronous = 0;
    always @(posedge ICE_35 or posedge late) if (late) asynchronous <= 0; else if (enable) asynchronous <= {asynchronous[4:0], data};
    reg [5:0] preset = 0;
    always @(posedge ICE_35 or posedge late) if (late) preset <= 6'h3f; else preset <= {preset[4:0], data};

    reg [5:0] falling = 0;
    always @(negedge ICE_35) if (reset) falling <= 0; else falling <= {falling[4:0], data};

    assign ICE_27 = plain[5];
    assign ICE_25 = cleared[5];
    assign ICE_26 = gated[5];
    assign ICE_23 = asynchronous[5];
    assign ICE_2 = preset[5];
    assign ICE_3 = falling[5];
endmodule
