// What cannot be simulated: a ring of three inverters (KIND 0), a latch of two gates (1), a multiplier of the DSP block (2).
`default_nettype none

module loops #(parameter KIND = 0) (
    input wire ICE_35,
    output wire ICE_27
);
    generate
        if (KIND == 0) begin
            wire [2:0] ring;
            genvar i;
            for (i = 0; i < 3; i = i + 1)
                SB_LUT4 #(.LUT_INIT(16'h5555)) inverter (.I0(ring[i]), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(ring[(i + 1) % 3]));
            assign ICE_27 = ring[0];
        end
        if (KIND == 1) begin
            reg [3:0] count = 0;
            always @(posedge ICE_35) count <= count + 1;
            wire q, qn;
            SB_LUT4 #(.LUT_INIT(16'h1111)) a (.I0(count[3]), .I1(qn), .I2(1'b0), .I3(1'b0), .O(q));
            SB_LUT4 #(.LUT_INIT(16'h1111)) b (.I0(count[2]), .I1(q), .I2(1'b0), .I3(1'b0), .O(qn));
            assign ICE_27 = q;
        end
        if (KIND == 2) begin
            reg [7:0] count = 0;
            always @(posedge ICE_35) count <= count + 1;
            wire [31:0] product;
            SB_MAC16 mac (.CLK(ICE_35), .CE(1'b1), .A({8'b0, count}), .B({8'b0, count}), .O(product));
            assign ICE_27 = product[9];
        end
    endgenerate
endmodule
