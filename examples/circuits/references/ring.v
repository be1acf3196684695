// Reference for the speed of the fabric: a ring of 63 inverters, divided by 16, at pin ICE_27.
//
// Each inverter is a look-up table of its own, so the period is 126 times the delay of a table and its wire: it depends on
// the chip, its voltage and its temperature, and on nothing else. A virtual board has no delays, and refuses the loop.

`default_nettype none

module ring (
    output wire ICE_27
);
    localparam integer INVERTERS = 63;

    wire [INVERTERS-1:0] tap;
    genvar i;

    generate
        for (i = 0; i < INVERTERS; i = i + 1) begin : inverters
            (* keep *)
            SB_LUT4 #(
                .LUT_INIT(16'h5555)
            ) inverter (
                .I0(tap[i]),
                .I1(1'b0),
                .I2(1'b0),
                .I3(1'b0),
                .O(tap[(i + 1) % INVERTERS])
            );
        end
    endgenerate

    reg [3:0] count = 0;

    always @(posedge tap[0]) count <= count + 1;

    assign ICE_27 = count[3];
endmodule
